// trustctl itl recovery drill: proves, before it is needed, which phones the key in a file would rescue.
#include <fmt/format.h>

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/escaping.h"
#include "cli/trustctl/generation_pages.h"
#include "cli/trustctl/list_choice.h"
#include "cli/trustctl/list_resigning.h"
#include "cli/trustctl/progress.h"
#include "cli/trustctl/published_lists.h"
#include "cli/trustctl/recovery_key_file.h"
#include "cli/trustctl/terminal_questions.h"
#include "cli/trustctl/trust_list_commands.h"
#include "cli/trustctl/trust_list_records.h"
#include "cli/trustctl/trust_records.h"
#include "common/bytes/bytes.h"
#include "common/service/clock.h"
#include "common/status/status.h"

namespace trustline {
namespace {

struct DrillArguments {
  std::string path;
  std::string passphrase_file;
};

using ListName = std::pair<std::string, std::string>;  // TFTP server, device

// Every ITL generation that was ever published, also of servers and devices whose lists are made no more.
absl::StatusOr<std::vector<v1::Generation>> AllGenerations(Environment& environment, Client<v1::TrustLists>& client) {
  v1::ListGenerationsRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_kind(v1::TRUST_LIST_KIND_ITL);
  std::vector<v1::Generation> generations;
  RETURN_IF_ERROR(
      ForEachGeneration(environment, client, request, /*limit=*/0,
                        [&generations](const v1::Generation& generation) { generations.push_back(generation); }));
  return generations;
}

// The lists that would be published in an emergency: the current ones, signed with the key.
class RescueLists {
 public:
  static absl::StatusOr<RescueLists> Make(const PublishedLists& published, const CertifiedKey& key, absl::Time now) {
    RescueLists rescue;
    for (const PublishedList& current : published.lists) {
      absl::StatusOr<ResignedList> resigned = SignAnew(current.list, key, published.recovery, now);
      if (!resigned.ok()) return Annotate(resigned.status(), GenerationText(current.generation));
      const ListName name = {current.generation.tftp_server(), current.generation.device()};
      rescue.lists_.emplace(name, std::move(resigned->list));
    }
    if (rescue.lists_.empty())
      return FailedPrecondition("no ITL is published: there is nothing that a key could rescue");
    return rescue;
  }

  // What a phone would get that holds a list of this name: its own list, else that of its server, else another
  // server's.
  const TrustList& For(const v1::Generation& held) const {
    for (const ListName& name : {ListName(held.tftp_server(), held.device()), ListName(held.tftp_server(), "")}) {
      if (const auto found = lists_.find(name); found != lists_.end()) return found->second;
    }
    return lists_.begin()->second;
  }

 private:
  std::map<ListName, TrustList> lists_;
};

// OK when a phone that holds `held` accepts `rescue`, which the key has signed.
absl::Status CheckRescued(const TrustList& held, const Certificate& signer, const TrustList& rescue) {
  for (const TrustListRecord& record : held.records) {
    if (record.role() != CertificateRole::kSast || record.certificate != signer) continue;
    return VerifyTrustListWith(rescue, *record.certificate);
  }
  return NotFound("the certificate in the file is no SAST of it");
}

struct Finding {
  v1::Generation generation;
  std::string reason;
};

absl::StatusOr<std::vector<Finding>> FindNotRescued(Environment& environment, Client<v1::TrustLists>& client,
                                                    const std::vector<v1::Generation>& generations,
                                                    const Certificate& signer, const RescueLists& rescue) {
  const SystemClock clock;
  Progress progress(environment.err(), environment.err_is_terminal(), "generations", std::ssize(generations), clock);
  std::vector<Finding> findings;
  for (size_t i = 0; i < generations.size(); ++i) {
    // By its hash, which also finds the lists of servers and devices that are no more.
    ASSIGN_OR_RETURN(const v1::FetchGenerationResponse fetched,
                     FetchList(environment, client, {.hash = generations[i].sha256()}));
    const absl::StatusOr<TrustList> held = DecodeTrustList(AsBytes(fetched.file()));
    const absl::Status rescued =
        held.ok() ? CheckRescued(*held, signer, rescue.For(generations[i])) : Annotate(held.status(), "unreadable");
    if (!rescued.ok()) findings.push_back({generations[i], std::string(StatusMessage(rescued))});
    progress.Update(static_cast<int64_t>(i + 1));
  }
  return findings;
}

void WriteFindings(Environment& environment, const std::vector<Finding>& findings, size_t generations,
                   const Certificate& signer) {
  const auto count = static_cast<int64_t>(generations);
  const int64_t rescued = count - std::ssize(findings);
  if (environment.options().output == OutputFormat::kTable) {
    for (const Finding& finding : findings) {
      const v1::Generation& generation = finding.generation;
      environment.out() << EscapeForTerminal(fmt::format("NOT rescued: {} (SHA-1 {}, {}): {}",
                                                         GenerationText(generation), ToHex(AsBytes(generation.sha1())),
                                                         generation.is_current() ? "current" : "not current any more",
                                                         finding.reason))
                        << "\n";
    }
    environment.out() << fmt::format("{} of {} generations: a phone that holds it accepts a list signed by {}\n",
                                     rescued, count, EscapeForTerminal(signer.subject().ToText()));
    return;
  }
  Record record;
  record.Add("signer", "Signer", signer.subject().ToText())
      .Add("signer_sha256", "Fingerprint", ToHex(signer.sha256()))
      .Add("generations", "Generations", count)
      .Add("rescued", "Rescued", rescued)
      .Add("all_rescued", "All rescued", findings.empty());
  record.list = {"not_rescued",
                 {{"tftp_server", "TFTP SERVER"},
                  {"device", "DEVICE"},
                  {"generation", "GENERATION"},
                  {"is_current", "CURRENT"},
                  {"sha1", "SHA1"},
                  {"published_at", "PUBLISHED"},
                  {"reason", "REASON"}},
                 {}};
  for (const auto& [generation, reason] : findings) {
    record.list->rows.push_back({TextCell(generation.tftp_server()), TextCell(generation.device()), generation.number(),
                                 generation.is_current(), Fingerprint{generation.sha1()},
                                 TimestampCell(generation.published_at()), reason});
  }
  WriteRecord(environment.out(), environment.options().output, record);
}

absl::StatusOr<int> Drill(Environment& environment, const DrillArguments& arguments) {
  ASSIGN_OR_RETURN(const RecoveryKeyFile key,
                   ReadRecoveryKeyFile(environment, arguments.path, arguments.passphrase_file));
  const Certificate& signer = key.content.certificate;
  const CallSeries series(environment);
  ASSIGN_OR_RETURN(Client<v1::TrustLists> client, environment.Connect<v1::TrustLists>(kItld));
  ASSIGN_OR_RETURN(const PublishedLists published, FetchCurrentItls(environment, client, ""));
  ASSIGN_OR_RETURN(const RescueLists rescue, RescueLists::Make(published, key.content, absl::Now()));
  ASSIGN_OR_RETURN(const std::vector<v1::Generation> generations, AllGenerations(environment, client));
  ASSIGN_OR_RETURN(const std::vector<Finding> findings,
                   FindNotRescued(environment, client, generations, signer, rescue));
  WriteFindings(environment, findings, generations.size(), signer);
  return findings.empty() ? kExitSuccess : kExitFailure;
}

}  // namespace

void AddRecoveryDrillCommand(CommandLine& line, CLI::App& recovery) {
  auto arguments = std::make_shared<DrillArguments>();
  CLI::App& command =
      AddCommand(line, recovery, "drill",
                 "Prove for every ITL that was ever published that a phone which holds it would accept a list signed "
                 "with the key in "
                 "the file; nothing is changed. Exit status 1 when one would not",
                 "  trustctl itl recovery drill itlrecovery.p12\n"
                 "  trustctl itl recovery drill itlrecovery.p12 --passphrase-file passphrase --output json",
                 [arguments](Environment& environment) { return Drill(environment, *arguments); });
  AddFile(command, "FILE", arguments->path, "PKCS#12 file, as `trustctl itl recovery export` writes it")->required();
  AddPassphraseFile(command, arguments->passphrase_file);
}

}  // namespace trustline
