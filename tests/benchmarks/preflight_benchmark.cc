// What a pre-flight of a million phones takes, in time and memory, with a real PostgreSQL on this machine's cores; and
// what cures add to a page of the mismatch report.
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <chrono>
#include <fstream>

#include "ca/profile/phone_facing.h"
#include "common/bytes/bytes.h"
#include "common/postgres/transaction.h"
#include "common/status/status.h"
#include "common/x509/certificate_builder.h"
#include "itl/list/list_publisher.h"
#include "itl/list/list_signers.h"
#include "itl/phone/phone_reader.h"
#include "itl/preflight/phone_cures.h"
#include "itl/preflight/preflight_gate.h"
#include "itl/trust_store/trust_editor.h"
#include "itl/trust_store/trust_import.h"
#include "tests/benchmarks/report.h"
#include "tests/support/scratch_database.h"
#include "tests/support/temporary_directory.h"

namespace trustline {
namespace {

constexpr int kPhones = 1'000'000;
constexpr int kServers = 20;
constexpr int kSites = 2'000;
constexpr int kGenerations = 10;
constexpr int kRounds = 5;
constexpr int kPageRounds = 51;
constexpr double kWantedSeconds = 5;
constexpr double kWantedMegabytes = 300;
constexpr double kWantedRatioOfPages = 1.2;
constexpr char kActor[] = "trustline:default/person/admin";

double Seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

double PeakMegabytes() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

const TrustStoreCaller& StoreCaller() {
  static const TrustStoreCaller caller = {1, "default", kActor};
  return caller;
}

ListPolicy Policy() {
  ListPolicy policy;
  policy.organization = "Example";
  policy.organizational_unit = "Voice";
  return policy;
}

absl::StatusOr<Certificate> MakeTvsCertificate(const std::string& host) {
  ASSIGN_OR_RETURN(
      const CertificateTemplate form,
      PhoneFacingTemplate(NewPhoneFacingProfile(
                              PhoneFacingKind::kTvs,
                              {.node = host, .host = host, .organization = "Example", .organizational_unit = "Voice"}),
                          absl::Now()));
  ASSIGN_OR_RETURN(const PrivateKey key, PrivateKey::Generate(KeyKind::kRsa2048));
  return BuildSelfSigned(form, key);
}

absl::Status Trust(Connection& connection, const Certificate& certificate) {
  ASSIGN_OR_RETURN(
      TrustImport import,
      TrustImport::Begin(connection, StoreCaller(), {.roles = {CertificateRole::kTvs}, .listed = true}, absl::Now()));
  const ImportCandidate candidate{std::string(AsText(certificate.der())), "tvs"};
  RETURN_IF_ERROR(import.AddBatch(std::span(&candidate, 1)));
  return import.Finish().status();
}

// Ten generations of twenty lists, a TVS node, and phones that reported over the last 200 days: each holds the list
// that was published when it did, so that many have taken any of several since. One in 100 has said nothing.
class Site {
 public:
  static absl::StatusOr<std::unique_ptr<Site>> Create() {
    auto site = std::make_unique<Site>();
    RETURN_IF_ERROR(site->Open());
    RETURN_IF_ERROR(site->Publish());
    RETURN_IF_ERROR(site->AddPhones());
    return site;
  }

  Pool& pool() { return *pool_; }
  const Certificate& tvs() const { return *tvs_; }
  KeyFolder& keys() { return *keys_; }

 private:
  absl::Status Open() {
    ASSIGN_OR_RETURN(database_, ScratchDatabase::Create());
    PoolOptions options;
    options.connection.conninfo = database_->Conninfo("trustline_itld");
    options.connection.query_timeout = absl::Minutes(2);
    ASSIGN_OR_RETURN(pool_, Pool::Create(options));
    const std::string passphrase_file = directory_.path() / "passphrase";
    std::ofstream(passphrase_file) << "a passphrase of a benchmark\n";
    chmod(passphrase_file.c_str(), 0600);
    mkdir((directory_.path() / "keys").c_str(), 0700);
    ASSIGN_OR_RETURN(
        keys_, KeyFolder::Open(directory_.path() / "keys", passphrase_file, {.contents = "keys", .owner = "itld"}));
    return absl::OkStatus();
  }

  absl::Status Publish() {
    const SystemClock clock{};
    Log log({.service = "benchmark", .sink = [](std::string_view) {}});
    Metrics metrics("benchmark");
    ListPublisher publisher(
        {}, *pool_, *keys_, [](const auto&, const auto&, const auto&) { return absl::OkStatus(); },
        "trustline:default/itld/node1", clock, log, metrics);
    RETURN_IF_ERROR(RunInTransaction(*pool_, {}, [&](Connection& connection) -> absl::Status {
      ListStore store(connection, 1);
      const ListPolicy policy = Policy();
      RETURN_IF_ERROR(store.CreatePolicy(policy).status());
      ListSigners signers(connection, StoreCaller(), *keys_, absl::Now());
      RETURN_IF_ERROR(signers.MakeRecovery(policy, "").status());
      for (int i = 1; i <= kServers; ++i) {
        const std::string name = fmt::format("tftp{}", i);
        RETURN_IF_ERROR(store.AddServer(name, name + ".example", kActor).status());
        RETURN_IF_ERROR(signers.MakeCallManager(policy, name, name + ".example", "").status());
        RETURN_IF_ERROR(store.PutList({.kind = ListKind::kItl, .tftp_server = name, .device = ""}, kActor));
      }
      return absl::OkStatus();
    }));
    for (int generation = 0; generation < kGenerations; ++generation) {
      ASSIGN_OR_RETURN(const Certificate tvs, MakeTvsCertificate(fmt::format("tvs{}.example", generation)));
      if (!tvs_) tvs_ = tvs;
      RETURN_IF_ERROR(RunInTransaction(*pool_, {}, [&](Connection& connection) { return Trust(connection, tvs); }));
      PublishOrder order;
      order.actor = kActor;
      order.reason = "benchmark";
      RETURN_IF_ERROR(publisher.Publish(1, "default", order).status());
    }
    return absl::OkStatus();
  }

  absl::Status AddPhones() {
    ASSIGN_OR_RETURN(Connection superuser, database_->Connect());
    RETURN_IF_ERROR(superuser.SetQueryTimeout(absl::Minutes(20)));
    RETURN_IF_ERROR(superuser.ExecuteScript(fmt::format(
        "UPDATE trust_list_generation SET published_at = now() - ({0} + 1 - generation) * interval '20 days';"
        "INSERT INTO node (name, identity, tvs_sha256, identity_expires_at, approved_at, approved_by) VALUES ('tvs1', "
        "'trustline:default/tvsd/tvs1', '\\x{1}', now() + interval '90 days', now(), 'benchmark');"
        "INSERT INTO tvs_reach (cluster_id, site, device, node, last_at) SELECT 1, 'site ' || n, '', 'tvs1', now() "
        "FROM "
        "generate_series(0, {2}) AS n WHERE n % 10 > 0;"
        "INSERT INTO device (cluster_id, name, model, site, added_by) SELECT 1, 'SEP' || upper(lpad(to_hex(n), 12, "
        "'0')), 'model ' || n % 30, 'site ' || n::bigint * 7919 % {3}, 'benchmark' FROM generate_series(0, {4}) AS n;"
        "INSERT INTO reported_server (cluster_id, name) SELECT 1, 'tftp' || n || '.example' FROM generate_series(1, "
        "{5}) AS n;"
        "INSERT INTO phone_holding (cluster_id, kind, state, server_id, list_id, generation) SELECT 1, 'ITL', 'hash', "
        "s.server_id, l.list_id, g FROM reported_server s JOIN trust_list l ON s.name = l.tftp_server || '.example', "
        "generate_series(1, {0}) AS g;"
        "UPDATE phone p SET holding_id = h.holding_id, reported_at = n.at, address = '192.0.2.1', via = 'forwarder "
        "192.0.2.9', held_id = h.holding_id, held_at = n.at FROM (SELECT device, n, now() - (n::bigint * 31 % 199) * "
        "interval '1 day' AS at FROM (SELECT device, ('x' || right(device, 8))::bit(32)::int AS n FROM phone) AS d) AS "
        "n "
        "JOIN reported_server s ON s.name = 'tftp' || 1 + n.n / 1000 % {5} || '.example' JOIN phone_holding h ON "
        "h.server_id = s.server_id AND h.generation = greatest(1, {0} - (n.n::bigint * 31 % 199) / 20) WHERE p.device "
        "= "
        "n.device AND n.n % 100 > 0",
        kGenerations, ToHex(tvs_->sha256()), kSites - 1, kSites, kPhones - 1, kServers)));
    return superuser.Execute("VACUUM ANALYZE").status();
  }

  const TemporaryDirectory directory_;
  std::unique_ptr<ScratchDatabase> database_;
  std::unique_ptr<Pool> pool_;
  std::unique_ptr<KeyFolder> keys_;
  std::optional<Certificate> tvs_;
};

absl::Status MeasureChange(Site& site, PreFlightGate& gate, const char* what,
                           const std::function<absl::Status(Connection&)>& body, Report& report) {
  v1::PreFlight preflight;
  std::vector<double> rounds;
  for (int round = 0; round <= kRounds; ++round) {
    GuardedChange change = {.cluster_id = 1, .actor = kActor, .action = "benchmark", .subject = what};
    change.caution.plan = true;
    change.report = &preflight;
    const double begin = Seconds();
    RETURN_IF_ERROR(RunGuarded(site.pool(), &gate, change, body));
    if (round > 0) rounds.push_back(Seconds() - begin);
  }
  std::string verdicts;
  for (const auto& count : preflight.counts()) {
    verdicts += fmt::format(" {}:{}", v1::PhoneVerdict_Name(count.verdict()).substr(14), count.phones());
  }
  const double seconds = Median(rounds);
  report.Add({.measure = fmt::format("pre-flight of {} phones: {} ({})", preflight.phones(), what, verdicts.substr(1)),
              .figure = fmt::format("{:.2f} s", seconds),
              .wanted = fmt::format("< {} s", kWantedSeconds),
              .met = seconds < kWantedSeconds});
  return absl::OkStatus();
}

absl::Status MeasurePages(Site& site, ListMemory& memory, Report& report) {
  const SystemClock clock{};
  PhoneCures cures(memory, &site.keys(), clock);
  std::vector<double> without, with;
  ASSIGN_OR_RETURN(const Pool::Lease lease, site.pool().Acquire());
  for (int round = 0; round <= kPageRounds; ++round) {
    const double begin = Seconds();
    ASSIGN_OR_RETURN(const HoldingViews views, HoldingViews::Read(*lease, 1));
    ASSIGN_OR_RETURN(const std::vector<PhoneRow> phones,
                     PhoneReader(*lease, 1, views).List({}, fmt::format("SEP{:012X}", round * 1000), 200));
    const double listed = Seconds();
    std::vector<std::string> devices;
    for (const PhoneRow& phone : phones) devices.push_back(phone.state.device);
    RETURN_IF_ERROR(cures.Of(*lease, 1, devices).status());
    if (round == 0) continue;
    without.push_back((listed - begin) * 1000);
    with.push_back((Seconds() - begin) * 1000);
  }
  const double ratio = Median(with) / Median(without);
  report.Add({.measure = "page of 200 phones with cures; floor: without them",
              .figure = fmt::format("{:.1f} ms", Median(with)),
              .floor = fmt::format("{:.1f} ms", Median(without)),
              .ratio = ratio,
              .wanted = fmt::format("ratio < {}", kWantedRatioOfPages),
              .met = ratio < kWantedRatioOfPages});
  return absl::OkStatus();
}

absl::Status Run(Report& report) {
  fmt::print(stderr, "making {} phones\n", kPhones);
  ASSIGN_OR_RETURN(const std::unique_ptr<Site> site, Site::Create());
  ListMemory memory;
  const SystemClock clock{};
  Log log({.service = "benchmark", .sink = [](std::string_view) {}});
  Metrics metrics("benchmark");
  PreFlightGate gate(memory, &site->keys(), clock, log, metrics, nullptr);
  const double before = PeakMegabytes();
  RETURN_IF_ERROR(MeasureChange(
      *site, gate, "a TVS certificate removed",
      [&](Connection& connection) -> absl::Status {
        ASSIGN_OR_RETURN(const FingerprintPrefix prefix, FingerprintPrefix::Parse(ToHex(site->tvs().sha256())));
        return TrustEditor(connection, StoreCaller()).Remove(prefix).status();
      },
      report));
  RETURN_IF_ERROR(MeasureChange(
      *site, gate, "another ITLRecovery key",
      [&](Connection& connection) {
        return ListSigners(connection, StoreCaller(), site->keys(), absl::Now()).MakeRecovery(Policy(), "").status();
      },
      report));
  const double peak = PeakMegabytes();
  report.Add({.measure = "memory of this process at most",
              .figure = fmt::format("{:.0f} MB", peak),
              .floor = fmt::format("{:.0f} MB", before),
              .ratio = peak / before,
              .wanted = fmt::format("< {:.0f} MB", kWantedMegabytes),
              .met = peak < kWantedMegabytes});
  return MeasurePages(*site, memory, report);
}

}  // namespace
}  // namespace trustline

int main() {
  trustline::Report report;
  const absl::Status status = trustline::Run(report);
  if (!status.ok()) {
    fmt::print(stderr, "preflight_benchmark: {}\n", trustline::StatusMessage(status));
    return 1;
  }
  return report.missed() == 0 ? 0 : 1;
}
