// trustctl itl recovery drill: proves, before it is needed, which phones the key in a file would rescue.
#include <fmt/format.h>

#include <map>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/escaping.h"
#include "cli/trustctl/generation_pages.h"
#include "cli/trustctl/held_list.h"
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

using ListName = std::tuple<v1::TrustListKind, std::string, std::string>;  // TFTP server, device

// Every generation that was ever published, also of servers and devices whose lists are made no more.
absl::StatusOr<std::vector<v1::Generation>> AllGenerations(Environment& environment, Client<v1::TrustLists>& client) {
  v1::ListGenerationsRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
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
      const v1::Generation& generation = current.generation;
      const ListName name = {generation.kind(), generation.tftp_server(), generation.device()};
      rescue.lists_.emplace(name, std::move(resigned->list));
    }
    if (rescue.lists_.empty()) {
      return FailedPrecondition(
          "no list is published: there is nothing that a key could rescue; `trustctl itl server add NAME` makes the "
          "first");
    }
    return rescue;
  }

  // What a phone would get that holds a list of this name: the cluster's CTL for a CTL; else its own list, that of its
  // server, or another server's.
  const TrustList& For(const v1::Generation& held) const {
    for (const std::string& device : {held.device(), std::string()}) {
      const auto found = lists_.find({held.kind(), held.tftp_server(), device});
      if (found != lists_.end()) return found->second;
    }
    return lists_.begin()->second;
  }

 private:
  std::map<ListName, TrustList> lists_;
};

// Whether a phone that holds the generation accepts what the key has signed, and how. A phone looks for the signer in
// its CTL and then in its ITL, so whoever holds two lists is rescued when each of them alone would be: by the one that
// knows the signer, or because both are blank.
absl::StatusOr<Acceptance> CheckRescued(const v1::Generation& generation, const TrustList& held,
                                        const TrustList& rescue) {
  absl::StatusOr<Acceptance> accepted = AcceptWhenHeld(held, rescue);
  if (!absl::IsNotFound(accepted.status())) return accepted;
  return NotFound("the certificate in the file is no SAST of it{}",
                  generation.kind() == v1::TRUST_LIST_KIND_CTL
                      ? ": phones that hold it believe the key only where they hold an ITL that has it"
                      : "");
}

struct Finding {
  v1::Generation generation;
  std::string reason;
};

struct Findings {
  int64_t generations = 0;
  int64_t blank = 0;  // rescued for that alone
  std::vector<Finding> not_rescued;

  int64_t rescued() const { return generations - std::ssize(not_rescued); }
};

absl::StatusOr<Findings> TryAll(Environment& environment, Client<v1::TrustLists>& client,
                                const std::vector<v1::Generation>& generations, const RescueLists& rescue) {
  const SystemClock clock;
  Findings findings{.generations = std::ssize(generations)};
  Progress progress(environment.err(), environment.err_is_terminal(), "generations", findings.generations, clock);
  for (size_t i = 0; i < generations.size(); ++i) {
    // By its hash, which also finds the lists of servers and devices that are no more.
    const ListChoice choice = {.kind = generations[i].kind(), .hash = generations[i].sha256()};
    ASSIGN_OR_RETURN(const v1::FetchGenerationResponse fetched, FetchList(environment, client, choice));
    const absl::StatusOr<TrustList> held = DecodeTrustList(AsBytes(fetched.file()));
    const absl::StatusOr<Acceptance> rescued = held.ok()
                                                   ? CheckRescued(generations[i], *held, rescue.For(generations[i]))
                                                   : absl::StatusOr<Acceptance>(Annotate(held.status(), "unreadable"));
    if (!rescued.ok()) {
      findings.not_rescued.push_back({generations[i], std::string(StatusMessage(rescued.status()))});
    } else if (rescued->because_blank) {
      ++findings.blank;
    }
    progress.Update(static_cast<int64_t>(i + 1));
  }
  return findings;
}

void WriteFindings(Environment& environment, const Findings& findings, const Certificate& signer) {
  if (environment.options().output == OutputFormat::kTable) {
    for (const Finding& finding : findings.not_rescued) {
      const v1::Generation& generation = finding.generation;
      environment.out() << EscapeForTerminal(fmt::format("NOT rescued: {} (SHA-1 {}, {}): {}",
                                                         GenerationText(generation), ToHex(AsBytes(generation.sha1())),
                                                         generation.is_current() ? "current" : "not current any more",
                                                         finding.reason))
                        << "\n";
    }
    environment.out() << fmt::format("{} of {} generations: a phone that holds it accepts a list signed by {}\n",
                                     findings.rescued(), findings.generations,
                                     EscapeForTerminal(signer.subject().ToText()));
    if (findings.blank > 0) {
      environment.out() << fmt::format(
          "{} of these are blank and do not know the key: a phone that holds one, and no list besides that is not "
          "blank, accepts any list\n",
          findings.blank);
    }
    return;
  }
  Record record;
  record.Add("signer", "Signer", signer.subject().ToText())
      .Add("signer_sha256", "Fingerprint", ToHex(signer.sha256()))
      .Add("generations", "Generations", findings.generations)
      .Add("rescued", "Rescued", findings.rescued())
      .Add("rescued_as_blank", "Rescued as blank", findings.blank)
      .Add("all_rescued", "All rescued", findings.not_rescued.empty());
  record.list = {"not_rescued",
                 {{"tftp_server", "TFTP SERVER"},
                  {"device", "DEVICE"},
                  {"generation", "GENERATION"},
                  {"is_current", "CURRENT"},
                  {"sha1", "SHA1"},
                  {"published_at", "PUBLISHED"},
                  {"reason", "REASON"},
                  {"kind", "KIND"}},
                 {}};
  for (const auto& [generation, reason] : findings.not_rescued) {
    record.list->rows.push_back({TextCell(generation.tftp_server()), TextCell(generation.device()), generation.number(),
                                 generation.is_current(), Fingerprint{generation.sha1()},
                                 TimestampCell(generation.published_at()), reason, KindText(generation.kind())});
  }
  WriteRecord(environment.out(), environment.options().output, record);
}

absl::StatusOr<int> Drill(Environment& environment, const DrillArguments& arguments) {
  ASSIGN_OR_RETURN(const RecoveryKeyFile key,
                   ReadRecoveryKeyFile(environment, arguments.path, arguments.passphrase_file));
  const CallSeries series(environment);
  ASSIGN_OR_RETURN(Client<v1::TrustLists> client, environment.Connect<v1::TrustLists>(kItld));
  ASSIGN_OR_RETURN(const PublishedLists published,
                   FetchCurrentLists(environment, client, v1::TRUST_LIST_KIND_UNSPECIFIED, ""));
  ASSIGN_OR_RETURN(const RescueLists rescue, RescueLists::Make(published, key.content, absl::Now()));
  ASSIGN_OR_RETURN(const std::vector<v1::Generation> generations, AllGenerations(environment, client));
  ASSIGN_OR_RETURN(const Findings findings, TryAll(environment, client, generations, rescue));
  WriteFindings(environment, findings, key.content.certificate);
  return findings.not_rescued.empty() ? kExitSuccess : kExitFailure;
}

}  // namespace

void AddRecoveryDrillCommand(CommandLine& line, CLI::App& recovery) {
  auto arguments = std::make_shared<DrillArguments>();
  CLI::App& command =
      AddCommand(line, recovery, "drill",
                 "Prove for every ITL and CTL that was ever published that a phone which holds it would accept a list "
                 "signed with the key in the file; nothing is changed. Exit status 1 when one would not",
                 "  trustctl itl recovery drill itlrecovery.p12\n"
                 "  trustctl itl recovery drill itlrecovery.p12 --passphrase-file passphrase --output json",
                 [arguments](Environment& environment) { return Drill(environment, *arguments); });
  AddFile(command, "FILE", arguments->path, "PKCS#12 file, as `trustctl itl recovery export` writes it")->required();
  AddPassphraseFile(command, arguments->passphrase_file);
}

}  // namespace trustline
