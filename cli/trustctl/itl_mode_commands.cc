// trustctl itl blank ... and trustctl ctl mixed-mode ...: what kind of lists a cluster has.
#include <fmt/format.h>

#include <memory>

#include "cli/trustctl/caution_arguments.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/preflight_print.h"
#include "cli/trustctl/publication_arguments.h"
#include "cli/trustctl/terminal_questions.h"
#include "cli/trustctl/trust_list_commands.h"
#include "cli/trustctl/trust_list_records.h"
#include "proto/trust_list.grpc.pb.h"

namespace trustline {
namespace {

struct ModeArguments {
  PublicationArguments publication;
  CautionArguments caution;
  bool yes = false;
};

constexpr std::string_view kBlankWarning =
    "While the lists are blank, and until phones have fetched whole ones again:\n"
    "  - a phone that holds a blank list, and no CTL, accepts any configuration file and any trust list, from "
    "anybody;\n"
    "  - HTTPS services of the phones do not work (directories, extension mobility and other applications): phones\n"
    "    trust no TVS that they could ask about the certificates;\n"
    "  - nor does anything else that phones ask a TVS for.\n"
    "Phones have the blank list only after their next start or reset.\n";

absl::StatusOr<int> SetBlank(Environment& environment, const ModeArguments& arguments, bool on) {
  if (on && !arguments.caution.plan) {
    environment.err() << kBlankWarning << std::flush;
    RETURN_IF_ERROR(Confirm(environment, arguments.yes, "Blank the trust lists?"));
  }
  v1::SetBlankRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_on(on);
  FillPublication(arguments.publication, request);
  RETURN_IF_ERROR(FillCaution(environment, arguments.caution, request));
  ASSIGN_OR_RETURN(Client<v1::TrustLists> client, environment.Connect<v1::TrustLists>(kItld));
  ASSIGN_OR_RETURN(const v1::PublishResponse response,
                   (environment.Ask(client, &v1::TrustLists::Stub::SetBlank, request)));
  if (arguments.caution.plan) return WritePlanned(environment, response);
  WriteOutcomes(environment, response, Record().Add("blank", "Blank", on));
  return OutcomeExit(response, /*may_wait=*/true);
}

absl::StatusOr<int> SetMixedMode(Environment& environment, const ModeArguments& arguments, bool on) {
  v1::SetMixedModeRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_on(on);
  FillPublication(arguments.publication, request);
  RETURN_IF_ERROR(FillCaution(environment, arguments.caution, request));
  ASSIGN_OR_RETURN(Client<v1::TrustLists> client, environment.Connect<v1::TrustLists>(kItld));
  ASSIGN_OR_RETURN(const v1::PublishResponse response,
                   (environment.Ask(client, &v1::TrustLists::Stub::SetMixedMode, request)));
  if (arguments.caution.plan) return WritePlanned(environment, response);
  WriteOutcomes(environment, response, Record().Add("mixed_mode", "Mixed mode", on));
  return OutcomeExit(response, /*may_wait=*/true);
}

absl::StatusOr<int> UpdateCtl(Environment& environment) {
  v1::GenerateRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_kind(v1::TRUST_LIST_KIND_CTL);
  ASSIGN_OR_RETURN(Client<v1::TrustLists> client, environment.Connect<v1::TrustLists>(kItld));
  ASSIGN_OR_RETURN(const v1::PublishResponse response,
                   (environment.Ask(client, &v1::TrustLists::Stub::Generate, request)));
  WriteOutcomes(environment, response, Record());
  return OutcomeExit(response, /*may_wait=*/true);
}

}  // namespace

void AddBlankCommands(CommandLine& line, CLI::App& itl) {
  CLI::App& blank = AddGroup(itl, "blank", "Lists without TVS and TFTP certificates, to prepare a rollback or a move",
                             "  trustctl itl blank on --reason 'back to the old call manager'\n"
                             "  trustctl itl blank off --reason 'all phones are back'");
  const auto add = [&](const std::string& name, const std::string& description, const std::string& example, bool on) {
    auto arguments = std::make_shared<ModeArguments>();
    CLI::App& command = AddCommand(line, blank, name, description, example, [arguments, on](Environment& environment) {
      return SetBlank(environment, *arguments, on);
    });
    AddReason(command, arguments->publication, /*required=*/true);
    AddWithoutNodes(command, arguments->publication);
    if (on) AddYes(command, arguments->yes);
    AddCaution(command, arguments->caution);
  };
  add("on", "Publish blank lists, after saying what does not work meanwhile",
      "  trustctl itl blank on --reason 'back to the old call manager' --plan\n"
      "  trustctl itl blank on --reason 'back to the old call manager'",
      true);
  add("off", "Publish whole lists again", "  trustctl itl blank off --reason 'all phones are back'", false);
}

void AddMixedModeCommands(CommandLine& line, CLI::App& ctl) {
  CLI::App& mixed_mode = AddGroup(ctl, "mixed-mode", "Whether phones can be encrypted: with a CTL they can",
                                  "  trustctl ctl mixed-mode on --reason 'secure phones'\n"
                                  "  trustctl ctl mixed-mode update");
  const auto add = [&](const std::string& name, const std::string& description, const std::string& example, bool on) {
    auto arguments = std::make_shared<ModeArguments>();
    CLI::App& command =
        AddCommand(line, mixed_mode, name, description, example,
                   [arguments, on](Environment& environment) { return SetMixedMode(environment, *arguments, on); });
    AddReason(command, arguments->publication, /*required=*/false);
    AddWithoutNodes(command, arguments->publication);
    AddCaution(command, arguments->caution);
  };
  add("on", "Make the cluster's CTL",
      "  trustctl ctl mixed-mode on --plan\n"
      "  trustctl ctl mixed-mode on --reason 'secure phones'",
      true);
  add("off", "Make the cluster non-secure again", "  trustctl ctl mixed-mode off --reason 'end of the trial'", false);
  AddCommand(line, mixed_mode, "update", "Make the CTL anew from the trust store; what needs an administrator waits",
             "  trustctl ctl mixed-mode update", UpdateCtl);
}

}  // namespace trustline
