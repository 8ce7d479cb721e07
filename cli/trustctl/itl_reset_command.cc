// trustctl itl reset, ctl reset: the current lists signed by another key than the one that signs them now.
#include <fmt/format.h>

#include <memory>

#include "absl/time/clock.h"
#include "cli/trustctl/caution_arguments.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/escaping.h"
#include "cli/trustctl/list_choice.h"
#include "cli/trustctl/list_resigning.h"
#include "cli/trustctl/preflight_print.h"
#include "cli/trustctl/publication_arguments.h"
#include "cli/trustctl/published_lists.h"
#include "cli/trustctl/recovery_key_file.h"
#include "cli/trustctl/terminal_questions.h"
#include "cli/trustctl/trust_list_commands.h"
#include "cli/trustctl/trust_list_records.h"
#include "common/status/status.h"

namespace trustline {
namespace {

struct ResetArguments {
  v1::TrustListKind kind = v1::TRUST_LIST_KIND_ITL;
  bool local_key = false;
  bool recovery = false;
  std::string recovery_key;
  std::string passphrase_file;
  std::string tftp_server;
  PublicationArguments publication;
  CautionArguments caution;
};

absl::Status NothingToSign(v1::TrustListKind kind) {
  return FailedPrecondition("no {} is published: there is nothing to sign anew; `trustctl {}` makes the first",
                            KindText(kind),
                            kind == v1::TRUST_LIST_KIND_CTL ? "ctl mixed-mode on" : "itl server add NAME");
}

// What became of the lists, and what each request would do or has done to phones.
struct ResetOutcome {
  v1::PublishResponse published;
  std::vector<PlannedChange> preflights;
};

absl::StatusOr<ResetOutcome> ResetWithServersKey(Environment& environment, Client<v1::TrustLists>& client,
                                                 const ResetArguments& arguments) {
  v1::ResetWithLocalKeyRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_kind(arguments.kind);
  request.set_tftp_server(arguments.tftp_server);
  request.set_recovery(arguments.recovery);
  FillPublication(arguments.publication, request);
  *request.mutable_caution() = CautionOf(arguments.caution);
  ASSIGN_OR_RETURN(v1::PublishResponse response,
                   (environment.Ask(client, &v1::TrustLists::Stub::ResetWithLocalKey, request)));
  if (arguments.caution.plan) RETURN_IF_ERROR(CheckPlanned(response.has_preflight(), response.preflight()));
  ResetOutcome outcome;
  if (response.has_preflight()) outcome.preflights.push_back({"", response.preflight()});
  outcome.published = std::move(response);
  return outcome;
}

// Requests with all lists signed, or none. What a signer that stands in no list means for phones is said.
absl::StatusOr<std::vector<v1::PublishSignedRequest>> SignCurrentLists(Environment& environment,
                                                                       Client<v1::TrustLists>& client,
                                                                       const ResetArguments& arguments,
                                                                       const CertifiedKey& signer) {
  ASSIGN_OR_RETURN(const PublishedLists published,
                   FetchCurrentLists(environment, client, arguments.kind, arguments.tftp_server));
  if (published.lists.empty()) return NothingToSign(arguments.kind);
  std::vector<v1::PublishSignedRequest> requests;
  for (const PublishedList& current : published.lists) {
    const std::string name = GenerationText(current.generation);
    if (const absl::Status verified = VerifyTrustList(current.list).status(); !verified.ok()) {
      return Annotate(verified, name);
    }
    absl::StatusOr<ResignedList> resigned = SignAnew(current.list, signer, published.recovery, absl::Now());
    if (!resigned.ok()) return Annotate(resigned.status(), name);
    if (resigned->took_place_of) {
      environment.Warn(fmt::format(
          "{}: the key in {} is no SAST of it{}: phones that hold it believe the new list only when a TVS vouches for "
          "the signer",
          name, arguments.recovery_key,
          resigned->took_place_of->empty() ? ""
                                           : fmt::format(", and takes the place of {}", *resigned->took_place_of)));
    }
    v1::PublishSignedRequest& request = requests.emplace_back();
    ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
    request.set_kind(arguments.kind);
    request.set_tftp_server(current.generation.tftp_server());
    request.set_device(current.generation.device());
    request.set_file(std::move(resigned->file));
    FillPublication(arguments.publication, request);
    *request.mutable_caution() = CautionOf(arguments.caution);
  }
  return requests;
}

std::string ListOf(const v1::PublishSignedRequest& request) {
  const std::string list = request.tftp_server().empty()
                               ? KindText(request.kind())
                               : fmt::format("{} of {}", KindText(request.kind()), request.tftp_server());
  return request.device().empty() ? list : fmt::format("{}, of {} alone", list, request.device());
}

// The number that was accepted is of all lists together; each list is judged by itself, and gets its own.
absl::Status ShareAccepted(Environment& environment, Client<v1::TrustLists>& client, int64_t accepted,
                           std::vector<v1::PublishSignedRequest>& requests) {
  int64_t unproven = 0;
  for (v1::PublishSignedRequest& request : requests) {
    v1::PublishSignedRequest asked = request;
    asked.clear_caution();
    asked.mutable_caution()->set_plan(true);
    ASSIGN_OR_RETURN(const v1::PublishResponse response,
                     (environment.Ask(client, &v1::TrustLists::Stub::PublishSigned, asked)));
    RETURN_IF_ERROR(CheckPlanned(response.has_preflight(), response.preflight()));
    const int64_t of_list = PhonesOf(response.preflight(), v1::PHONE_VERDICT_UNPROVEN);
    request.mutable_caution()->set_accept_unproven(of_list);
    unproven += of_list;
  }
  if (unproven == accepted) return absl::OkStatus();
  return FailedPrecondition(
      "nothing was changed: --accept-unproven {} was said, and for the {} lists together {} are unproven, counted once "
      "for each list: look at them with --plan, then say --accept-unproven {}",
      accepted, requests.size(), PhonesText(unproven), unproven);
}

absl::StatusOr<ResetOutcome> ResetWithKeyFile(Environment& environment, Client<v1::TrustLists>& client,
                                              const ResetArguments& arguments) {
  ASSIGN_OR_RETURN(const RecoveryKeyFile key,
                   ReadRecoveryKeyFile(environment, arguments.recovery_key, arguments.passphrase_file));
  const CallSeries series(environment);
  ASSIGN_OR_RETURN(std::vector<v1::PublishSignedRequest> requests,
                   SignCurrentLists(environment, client, arguments, key.content));
  if (requests.size() > 1 && arguments.caution.accept_unproven && !arguments.caution.plan) {
    RETURN_IF_ERROR(ShareAccepted(environment, client, *arguments.caution.accept_unproven, requests));
  }
  ResetOutcome outcome;
  for (size_t i = 0; i < requests.size(); ++i) {
    absl::StatusOr<v1::PublishResponse> response =
        environment.Ask(client, &v1::TrustLists::Stub::PublishSigned, requests[i]);
    if (!response.ok() && (i == 0 || arguments.caution.plan)) return response.status();
    if (!response.ok()) {
      const std::string how_far =
          fmt::format("{} of {} lists were sent before and stay so, the same command again does the rest; then", i,
                      requests.size());
      return Annotate(response.status(), how_far);
    }
    if (arguments.caution.plan) RETURN_IF_ERROR(CheckPlanned(response->has_preflight(), response->preflight()));
    if (response->has_preflight()) {
      outcome.preflights.push_back({requests.size() == 1 ? "" : ListOf(requests[i]), response->preflight()});
    }
    // Each list is judged by itself: there is no pre-flight of all.
    if (requests.size() > 1) response->clear_preflight();
    outcome.published.MergeFrom(*response);
  }
  return outcome;
}

absl::StatusOr<int> Reset(Environment& environment, const ResetArguments& arguments) {
  RETURN_IF_ERROR(ConfirmOverride(environment, arguments.caution));
  ASSIGN_OR_RETURN(Client<v1::TrustLists> client, environment.Connect<v1::TrustLists>(kItld));
  ASSIGN_OR_RETURN(const ResetOutcome outcome, arguments.recovery_key.empty()
                                                   ? ResetWithServersKey(environment, client, arguments)
                                                   : ResetWithKeyFile(environment, client, arguments));
  if (arguments.caution.plan) return WritePlans(environment, outcome.preflights);
  const v1::PublishResponse& response = outcome.published;
  if (response.lists().empty()) return NothingToSign(arguments.kind);
  const std::string key = arguments.local_key ? "local-key" : arguments.recovery ? "recovery" : "recovery-key";
  WriteOutcomes(environment, response, Record().Add("signed_with", "Signed with", key));
  for (const auto& [of, preflight] : outcome.preflights) {
    if (!of.empty()) WritePreFlightLine(environment, preflight, of);
  }
  return OutcomeExit(response, /*may_wait=*/false);
}

}  // namespace

void AddListResetCommand(CommandLine& line, const ListGroup& lists) {
  auto arguments = std::make_shared<ResetArguments>();
  arguments->kind = lists.kind;
  const bool is_itl = lists.kind == v1::TRUST_LIST_KIND_ITL;
  CLI::App& command = AddCommand(
      line, lists.group, "reset",
      fmt::format("Sign the current {} with another key, for phones that do not believe the present signer; a key in a "
                  "file signs here and is not sent",
                  is_itl ? "ITLs" : "CTL"),
      fmt::format("{1}  trustctl {0} reset --recovery --reason 'back to ITLRecovery'\n"
                  "  trustctl {0} reset --recovery --reason 'back to ITLRecovery' --plan\n"
                  "  trustctl {0} reset --recovery-key itlrecovery.p12 --reason 'restored from an old backup'",
                  lists.name(),
                  is_itl ? "  trustctl itl reset --local-key --reason 'phones refuse the list of ITLRecovery'\n" : ""),
      [arguments](Environment& environment) { return Reset(environment, *arguments); });
  CLI::Option* const recovery =
      command.add_flag("--recovery", arguments->recovery, "Back to the ITLRecovery key that itld has");
  CLI::Option* const key =
      AddFile(command, "--recovery-key", arguments->recovery_key, "With the key in this PKCS#12 file")
          ->excludes(recovery);
  AddPassphraseFile(command, arguments->passphrase_file)->needs(key);
  if (is_itl) {
    command
        .add_flag("--local-key", arguments->local_key, "With the CallManager key of each TFTP server, which itld has")
        ->excludes(recovery)
        ->excludes(key);
    command.add_option("--tftp-server", arguments->tftp_server, "Only the lists of this one; all unless given")
        ->type_name("NAME");
  }
  AddReason(command, arguments->publication, /*required=*/true);
  AddWithoutNodes(command, arguments->publication);
  AddCaution(command, arguments->caution);
  command.parse_complete_callback([arguments, is_itl] {
    if (arguments->local_key || arguments->recovery || !arguments->recovery_key.empty()) return;
    throw CLI::ValidationError("reset", fmt::format("say which key signs: give {}--recovery or --recovery-key",
                                                    is_itl ? "--local-key, " : ""));
  });
}

}  // namespace trustline
