// trustctl plan ...: changes of trust in steps, each with its gate. Here: the group, and plans that were made.
#include "cli/trustctl/plan_commands.h"

#include <fmt/format.h>

#include <limits>
#include <memory>

#include "cli/trustctl/caution_arguments.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/plan_records.h"
#include "cli/trustctl/plan_watch.h"
#include "cli/trustctl/publication_arguments.h"
#include "proto/plan.grpc.pb.h"

namespace trustline {
namespace {

constexpr std::string_view kNumberDescription = "Number of the plan; not needed for the one that has not ended";

void AddPlanNumber(CLI::App& command, std::optional<int64_t>& number) {
  AddNumber(command, "N", "N", 1, std::numeric_limits<int64_t>::max(), number, std::string(kNumberDescription));
}

absl::StatusOr<int> List(Environment& environment, bool with_ended) {
  v1::ListPlansRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_with_ended(with_ended);
  ASSIGN_OR_RETURN(Client<v1::Plans> client, environment.Connect<v1::Plans>(kItld));
  ASSIGN_OR_RETURN(const v1::ListPlansResponse response,
                   (environment.Ask(client, &v1::Plans::Stub::ListPlans, request)));
  ListWriter writer(environment.out(), environment.options().output, PlanColumns(),
                    with_ended ? "no plans" : "no plan that has not ended");
  for (const v1::Plan& plan : response.plans()) writer.Add(PlanRow(plan));
  writer.Finish();
  return kExitSuccess;
}

struct ShowArguments {
  std::optional<int64_t> number;
  bool watch = false;
};

absl::StatusOr<int> Show(Environment& environment, const ShowArguments& arguments) {
  if (arguments.watch) return WatchPlan(environment, arguments.number.value_or(0));
  v1::ShowPlanRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_number(arguments.number.value_or(0));
  ASSIGN_OR_RETURN(Client<v1::Plans> client, environment.Connect<v1::Plans>(kItld));
  ASSIGN_OR_RETURN(const v1::ShowPlanResponse response, (environment.Ask(client, &v1::Plans::Stub::ShowPlan, request)));
  WritePlan(environment, "", response.plan(), response.waits_for());
  return kExitSuccess;
}

struct ChangeArguments {
  std::optional<int64_t> number;
  std::optional<int64_t> accept_unproven;
  std::optional<int64_t> go_without;
  std::optional<std::string> reason;
};

absl::StatusOr<int> Change(Environment& environment, const ChangeArguments& arguments,
                           v1::ChangePlanRequest::Change change) {
  v1::ChangePlanRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_number(arguments.number.value_or(0));
  request.set_change(change);
  request.set_reason(arguments.reason.value_or(""));
  if (arguments.accept_unproven) request.set_accept_unproven(*arguments.accept_unproven);
  if (arguments.go_without) request.set_go_without(*arguments.go_without);
  ASSIGN_OR_RETURN(Client<v1::Plans> client, environment.Connect<v1::Plans>(kItld));
  ASSIGN_OR_RETURN(const v1::ChangePlanResponse response,
                   (environment.Ask(client, &v1::Plans::Stub::ChangePlan, request)));
  const v1::Plan& plan = response.plan();
  const bool is_being_aborted = change == v1::ChangePlanRequest::CHANGE_ABORT && plan.state() == v1::PLAN_STATE_RUNNING;
  const std::string sentence =
      fmt::format("{} is {}{}", PlanText(plan), is_being_aborted ? "being aborted" : WordFor(kPlanStates, plan.state()),
                  plan.state() == v1::PLAN_STATE_RUNNING
                      ? fmt::format("; `trustctl plan show {} --watch` follows it", plan.number())
                      : "");
  WritePlan(environment, sentence, plan, v1::PreFlight());
  return kExitSuccess;
}

struct ChangeCommand {
  v1::ChangePlanRequest::Change change;
  std::string name;
  std::string description;
  std::string_view example;
  bool goes_on;
};

void AddChangeCommand(CommandLine& line, CLI::App& plan, const ChangeCommand& form) {
  auto arguments = std::make_shared<ChangeArguments>();
  CLI::App& command = AddCommand(
      line, plan, form.name, form.description, form.example,
      [arguments, change = form.change](Environment& environment) { return Change(environment, *arguments, change); });
  AddPlanNumber(command, arguments->number);
  if (form.goes_on) {
    AddAcceptUnproven(command, arguments->accept_unproven,
                      "Do not wait for phones that are unproven, exactly so many: see `trustctl plan show`; kept with "
                      "their names");
    AddNumber(
        command, "--go-without", "N", 0, std::numeric_limits<int64_t>::max(), arguments->go_without,
        "Do not wait for registered phones that hold older lists, while there are at most so many; 0 waits again");
  }
  AddReason(command, arguments->reason, "Why, for the audit log");
}

}  // namespace

void AddPlanCommands(CommandLine& line) {
  CLI::App& plan =
      AddGroup(line.app, "plan", "Changes of trust in steps, each with its gate, so that no phone is left behind",
               "  trustctl plan rollover --signer callmanager --server tftp1 --reason 'it expires in May'\n"
               "  trustctl plan run\n"
               "  trustctl plan show --watch");
  AddPlanMakeCommands(line, plan);

  auto with_ended = std::make_shared<bool>(false);
  CLI::App& list = AddCommand(line, plan, "list", "List the plans that have not ended, the newest first",
                              "  trustctl plan list\n"
                              "  trustctl plan list --all --output json",
                              [with_ended](Environment& environment) { return List(environment, *with_ended); });
  list.add_flag("--all", *with_ended, "Those that have ended too");

  auto shown = std::make_shared<ShowArguments>();
  CLI::App& show = AddCommand(line, plan, "show",
                              "Show a plan: its steps, how far each is, its gate and way back, and for which phones it "
                              "waits",
                              "  trustctl plan show\n"
                              "  trustctl plan show 3 --output json\n"
                              "  trustctl plan show --watch",
                              [shown](Environment& environment) { return Show(environment, *shown); });
  AddPlanNumber(show, shown->number);
  show.add_flag("--watch", shown->watch,
                "A line for each change until the plan runs no more, Ctrl-C, or for as long as --timeout says; exit "
                "status 0 when it is done");

  AddChangeCommand(line, plan,
                   {v1::ChangePlanRequest::CHANGE_RUN, "run", "Let a plan run that was made",
                    "  trustctl plan run\n"
                    "  trustctl plan run 3 --reason 'the window of Sunday'",
                    true});
  AddChangeCommand(line, plan,
                   {v1::ChangePlanRequest::CHANGE_PAUSE, "pause", "Begin no further step; what was done stays",
                    "  trustctl plan pause --reason 'change freeze'", false});
  AddChangeCommand(
      line, plan,
      {v1::ChangePlanRequest::CHANGE_RESUME, "resume",
       "Let a plan go on where it was, after a pause, after it has stopped, or when it waits for your word",
       "  trustctl plan resume\n"
       "  trustctl plan resume 3 --accept-unproven 31\n"
       "  trustctl plan resume --go-without 4 --reason 'lobby phones, reset on Monday'",
       true});
  AddChangeCommand(line, plan,
                   {v1::ChangePlanRequest::CHANGE_ABORT, "abort",
                    "End a plan, and take back what it has changed as far as that can be: see the ways back in show",
                    "  trustctl plan abort --reason 'the new key is lost'", false});
}

}  // namespace trustline
