#include "tests/benchmarks/list_regeneration.h"

#include <sys/stat.h>

#include <chrono>
#include <fstream>

#include "ca/profile/phone_facing.h"
#include "common/bytes/bytes.h"
#include "common/postgres/pool.h"
#include "common/postgres/transaction.h"
#include "common/service/key_folder.h"
#include "common/status/status.h"
#include "itl/list/list_publisher.h"
#include "itl/list/list_signers.h"
#include "itl/trust_store/trust_import.h"
#include "tests/support/scratch_database.h"
#include "tests/support/temporary_directory.h"

namespace trustline {
namespace {

constexpr int kServers = 1000;
constexpr double kWantedSeconds = 3;
constexpr char kActor[] = "trustline:default/person/admin";

double Seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

const TrustStoreCaller& StoreCaller() {
  static const TrustStoreCaller caller = {1, "default", kActor};
  return caller;
}

absl::Status Import(Connection& connection, const std::vector<ImportCandidate>& certificates, ImportOptions options) {
  ASSIGN_OR_RETURN(TrustImport import, TrustImport::Begin(connection, StoreCaller(), std::move(options), absl::Now()));
  RETURN_IF_ERROR(import.AddBatch(certificates));
  return import.Finish().status();
}

absl::Status BareSignature(const PrivateKey& key) {
  const EvpMdCtxPtr context(EVP_MD_CTX_new());
  unsigned char signature[256];
  size_t size = sizeof(signature);
  static constexpr unsigned char kMessage[64] = {};
  if (EVP_DigestSignInit(context.get(), nullptr, EVP_sha1(), nullptr, key.get()) != 1 ||
      EVP_DigestSign(context.get(), signature, &size, kMessage, sizeof(kMessage)) != 1) {
    return Internal("a bare signature failed");
  }
  return absl::OkStatus();
}

absl::StatusOr<Certificate> MakeServerCertificate(const std::string& host, const PrivateKey& key) {
  ASSIGN_OR_RETURN(
      const CertificateTemplate form,
      PhoneFacingTemplate(NewPhoneFacingProfile(
                              PhoneFacingKind::kCallManager,
                              {.node = host, .host = host, .organization = "Example", .organizational_unit = "Voice"}),
                          absl::Now()));
  return BuildSelfSigned(form, key);
}

// The servers share a key, which no list is signed with: making a thousand would take minutes.
absl::Status AddServers(Pool& pool, KeyFolder& keys) {
  return RunInTransaction(pool, {}, [&](Connection& connection) -> absl::Status {
    ListStore store(connection, 1);
    ListPolicy policy;
    policy.organization = "Example";
    policy.organizational_unit = "Voice";
    RETURN_IF_ERROR(store.CreatePolicy(policy).status());
    RETURN_IF_ERROR(ListSigners(connection, StoreCaller(), keys, absl::Now()).MakeRecovery(policy, "").status());
    ASSIGN_OR_RETURN(const KeyFolder::Key key, keys.Generate(KeyKind::kRsa2048));
    std::vector<Certificate> certificates;
    std::vector<ImportCandidate> candidates;
    for (int i = 0; i < kServers; ++i) {
      ASSIGN_OR_RETURN(Certificate certificate, MakeServerCertificate(fmt::format("tftp{}.example", i), *key));
      candidates.push_back({std::string(AsText(certificate.der())), "server"});
      certificates.push_back(std::move(certificate));
    }
    RETURN_IF_ERROR(Import(connection, candidates,
                           {.roles = {CertificateRole::kSast, CertificateRole::kCcmTftp}, .origin = "system"}));
    for (int i = 0; i < kServers; ++i) {
      const std::string name = fmt::format("tftp{}", i);
      RETURN_IF_ERROR(store.AddServer(name, name + ".example", kActor).status());
      RETURN_IF_ERROR(
          store.AddSigner(name, certificates[static_cast<size_t>(i)], KeyName(key->public_key_sha256()), "", kActor));
      RETURN_IF_ERROR(store.PutList({.kind = ListKind::kItl, .tftp_server = name, .device = ""}, kActor));
    }
    return absl::OkStatus();
  });
}

}  // namespace

absl::Status MeasureListRegeneration(Report& report) {
  // 1. The site.
  ASSIGN_OR_RETURN(const std::unique_ptr<ScratchDatabase> database, ScratchDatabase::Create());
  PoolOptions options;
  options.connection.conninfo = database->Conninfo("trustline_itld");
  options.connection.query_timeout = absl::Minutes(1);
  ASSIGN_OR_RETURN(const std::unique_ptr<Pool> pool, Pool::Create(options));
  const TemporaryDirectory directory;
  const std::string passphrase_file = directory.path() / "passphrase";
  std::ofstream(passphrase_file) << "a passphrase of a benchmark\n";
  chmod(passphrase_file.c_str(), 0600);
  mkdir((directory.path() / "keys").c_str(), 0700);
  ASSIGN_OR_RETURN(const std::unique_ptr<KeyFolder> keys,
                   KeyFolder::Open(directory.path() / "keys", passphrase_file, {.contents = "keys", .owner = "itld"}));
  RETURN_IF_ERROR(AddServers(*pool, *keys));

  // 2. The first lists, then one more record in each of them.
  const SystemClock clock{};
  Log log({.service = "benchmark", .sink = [](std::string_view) {}});
  Metrics metrics("benchmark");
  ListPublisher publisher(
      {}, *pool, *keys, [](const auto&, const auto&, const auto&) { return absl::OkStatus(); },
      "trustline:default/itld/node1", clock, log, metrics);
  const PublishOrder order = {.filter = {}, .actor = kActor, .reason = "benchmark", .without_nodes = {}};
  RETURN_IF_ERROR(publisher.Publish(1, "default", order).status());
  ASSIGN_OR_RETURN(const PrivateKey tvs_key, PrivateKey::Generate(KeyKind::kRsa2048));
  ASSIGN_OR_RETURN(const Certificate tvs, MakeServerCertificate("tvs.example", tvs_key));
  RETURN_IF_ERROR(RunInTransaction(*pool, {}, [&](Connection& connection) {
    return Import(connection, {{std::string(AsText(tvs.der())), "tvs"}},
                  {.roles = {CertificateRole::kTvs}, .listed = true});
  }));
  const double begin = Seconds();
  ASSIGN_OR_RETURN(const PublishResult result, publisher.Publish(1, "default", order));
  const double taken = Seconds() - begin;
  for (const PublishedList& list : result.lists) {
    if (list.outcome != ListOutcome::kPublished || list.list.current->number != 2) {
      return Internal("the {} was not published: {}", ListText(list.list.form),
                      list.list.candidate ? list.list.candidate->reason : "unchanged");
    }
  }
  const double unchanged_begin = Seconds();
  RETURN_IF_ERROR(publisher.Publish(1, "default", order).status());
  const double unchanged = Seconds() - unchanged_begin;

  // 3. The floor: as many bare signatures on one core.
  const double floor_begin = Seconds();
  for (int i = 0; i < kServers; ++i) RETURN_IF_ERROR(BareSignature(tvs_key));
  const double floor = Seconds() - floor_begin;

  report.Add({.measure = fmt::format("lists of {} TFTP servers made anew", result.lists.size()),
              .figure = fmt::format("{:.2f} s", taken),
              .floor = fmt::format("{:.2f} s of signatures", floor),
              .ratio = taken / floor,
              .wanted = fmt::format("< {} s", kWantedSeconds),
              .met = taken < kWantedSeconds && result.lists.size() == kServers});
  report.Add({.measure = "the same without a change", .figure = fmt::format("{:.2f} s", unchanged)});
  return absl::OkStatus();
}

}  // namespace trustline
