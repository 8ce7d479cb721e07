#include "cli/trustctl/caution_arguments.h"

#include <limits>

#include "cli/trustctl/command.h"
#include "cli/trustctl/publication_arguments.h"
#include "cli/trustctl/terminal_questions.h"

namespace trustline {
namespace {

constexpr std::string_view kOverrideWarning =
    "WARNING: this makes the change although phones may be locked out by it: they would refuse every new list and "
    "every\n"
    "  new configuration, until they are rescued (trustctl itl reset) or somebody deletes their lists at the phone.\n"
    "  Which phones: the same command with --plan instead of --override. Their names go into the audit log.\n";

}  // namespace

CLI::Option* AddAcceptUnproven(CLI::App& command, std::optional<int64_t>& accept_unproven,
                               const std::string& description) {
  return AddNumber(command, "--accept-unproven", "N", 0, std::numeric_limits<int64_t>::max(), accept_unproven,
                   description);
}

void AddCaution(CLI::App& command, CautionArguments& arguments) {
  command.add_flag("--plan", arguments.plan,
                   "Say what would become of every phone, and change nothing; exit status 3 when it would be refused");
  AddAcceptUnproven(command, arguments.accept_unproven,
                    "Make the change though exactly so many phones are unproven (see --plan); kept with their names");
  CLI::Option* const override_refusal = command.add_flag(
      "--override", arguments.override_refusal,
      "Make the change though phones may be locked out, after asking; needs --reason, and is audited with their names");
  CLI::Option* reason = command.get_option_no_throw("--reason");
  if (reason == nullptr) {
    reason = AddReason(command, arguments.reason, "Why the refusal is overridden, for the audit log");
    reason->needs(override_refusal);
  } else {
    reason->each([&arguments](const std::string& text) { arguments.reason = text; });
  }
  override_refusal->needs(reason);
  CLI::Option* const yes = command.get_option_no_throw("--yes");
  if (yes == nullptr) {
    AddYes(command, arguments.yes);
  } else {
    yes->each([&arguments](const std::string&) { arguments.yes = true; });
  }
}

absl::Status ConfirmOverride(Environment& environment, const CautionArguments& arguments) {
  if (!arguments.override_refusal || arguments.plan) return absl::OkStatus();
  environment.err() << kOverrideWarning << std::flush;
  return Confirm(environment, arguments.yes, "Make the change although phones may be locked out?");
}

v1::Caution CautionOf(const CautionArguments& arguments) {
  v1::Caution caution;
  caution.set_plan(arguments.plan);
  if (arguments.accept_unproven) caution.set_accept_unproven(*arguments.accept_unproven);
  if (arguments.override_refusal) caution.set_override_reason(arguments.reason.value_or(""));
  return caution;
}

}  // namespace trustline
