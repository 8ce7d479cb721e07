// trustctl phones reset, resets ...: phones that are reset in waves.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <memory>

#include "absl/time/clock.h"
#include "cli/trustctl/device_arguments.h"
#include "cli/trustctl/escaping.h"
#include "cli/trustctl/next_look.h"
#include "cli/trustctl/phone_commands.h"
#include "cli/trustctl/phone_filter.h"
#include "cli/trustctl/reset_records.h"
#include "cli/trustctl/response_pages.h"
#include "cli/trustctl/wave_arguments.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "proto/reset.grpc.pb.h"

namespace trustline {
namespace {

constexpr absl::Duration kLongestPause = absl::Hours(24);
constexpr int kLooksRest = 10;  // times as long as a look took
// As itld has it.
constexpr size_t kLongestReason = 200;

// A line for each change, as it comes, until the reset does not go on by itself.
absl::StatusOr<int> Watch(Environment& environment, int64_t number) {
  v1::ShowResetRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_number(number);
  request.set_page_size(1);
  ASSIGN_OR_RETURN(Client<v1::Resets> client, environment.Connect<v1::Resets>(kItld));
  const CallSeries series(environment);
  const std::optional<absl::Duration>& timeout = environment.options().timeout;
  const absl::Time until = timeout ? absl::Now() + *timeout : absl::InfiniteFuture();
  ListWriter csv(environment.out(), OutputFormat::kCsv, ResetColumns());
  std::string before;
  bool away = false;
  std::optional<int> exit_status;
  absl::Duration interval;
  do {
    const absl::Time asked = absl::Now();
    const absl::StatusOr<v1::ShowResetResponse> response =
        environment.Ask(client, &v1::Resets::Stub::ShowReset, request);
    if (environment.interrupt().requested()) break;
    // Who of a million phones has reported is not looked up all the time.
    interval = std::max(absl::Seconds(1), kLooksRest * (absl::Now() - asked));
    // A reset survives a restart of itld; so does who watches it, once there was something to watch.
    const bool is_away = absl::IsUnavailable(response.status()) && !before.empty();
    if (!response.ok() && !is_away) return response.status();
    if (is_away && !away) environment.Warn(fmt::format("{}; asking again", StatusMessage(response.status())));
    away = is_away;
    if (is_away) continue;
    const v1::Reset& reset = response->reset();
    const std::string now =
        fmt::format("reset {} {}{}{}; {}", number, WordFor(kResetStates, reset.state()),
                    reset.state_reason().empty() ? "" : ": ", reset.state_reason(), ResetProgress(reset));
    if (now != before) {
      switch (environment.options().output) {
        case OutputFormat::kTable:
          environment.out() << TimeTextSeconds(absl::Now()) << "  " << EscapeForTerminal(now) << "\n";
          break;
        case OutputFormat::kJson:
          environment.out() << JsonLine(ResetColumns(), ResetRow(reset));
          break;
        case OutputFormat::kCsv:
          csv.Add(ResetRow(reset));
          break;
      }
      environment.out().flush();
      before = now;
    }
    if (!IsUnderWay(reset)) exit_status = reset.state() == v1::RESET_STATE_DONE ? kExitSuccess : kExitFailure;
  } while (!exit_status && WaitForNextLook(environment, interval, until));
  if (environment.options().output == OutputFormat::kCsv) csv.Finish();
  return exit_status.value_or(kExitFailure);
}

struct ResetArguments {
  PhoneFilterArguments filter;
  std::vector<std::string> devices;
  bool out_of_step = false;
  WaveArguments waves;
  std::optional<absl::Duration> pause;
  std::optional<std::string> reason;
  bool plan = false;
  bool watch = false;

  bool HasFilter() const {
    return !filter.statuses.empty() || filter.server || filter.model || filter.site || filter.since ||
           filter.evidence || out_of_step;
  }
};

std::string PlanSentence(const v1::Reset& reset) {
  const int64_t waves = (reset.phones() + reset.wave() - 1) / reset.wave();
  std::string text = fmt::format("{} would be reset by {}, in {} wave{}", PhoneCountText(reset.phones()), reset.hook(),
                                 waves, waves == 1 ? "" : "s");
  if (!reset.hours().empty()) text += fmt::format(" that begin between {}", reset.hours());
  return text + "; nothing was ordered";
}

absl::StatusOr<int> Reset(Environment& environment, const ResetArguments& arguments) {
  v1::StartResetRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  for (const std::string& device : arguments.devices) request.add_devices(device);
  if (arguments.devices.empty()) {
    ASSIGN_OR_RETURN(*request.mutable_filter(), PhoneFilterFrom(environment, arguments.filter));
  }
  request.set_out_of_step_only(arguments.out_of_step);
  FillWaves(arguments.waves, request);
  if (arguments.pause == absl::ZeroDuration()) request.set_without_pause(true);
  if (arguments.pause) request.set_pause_seconds(static_cast<int32_t>(absl::ToInt64Seconds(*arguments.pause)));
  request.set_reason(arguments.reason.value_or(""));
  request.set_plan(arguments.plan);
  ASSIGN_OR_RETURN(Client<v1::Resets> client, environment.Connect<v1::Resets>(kItld));
  ASSIGN_OR_RETURN(const v1::StartResetResponse response,
                   (environment.Ask(client, &v1::Resets::Stub::StartReset, request)));
  const v1::Reset& reset = response.reset();
  if (arguments.watch) return Watch(environment, reset.number());
  WriteResult(environment.out(), environment.options().output,
              arguments.plan ? PlanSentence(reset)
                             : fmt::format("reset {0} of {1} is ordered; `trustctl phones resets show {0} --watch` "
                                           "follows it",
                                           reset.number(), PhoneCountText(reset.phones())),
              ResetRecord(reset));
  return kExitSuccess;
}

void AddPause(CLI::App& command, std::optional<absl::Duration>& pause) {
  command
      .add_option_function<std::string>(
          "--pause",
          [&command, &pause](const std::string& text) {
            const absl::StatusOr<absl::Duration> given = ParseDuration(text);
            if (!given.ok() || *given > kLongestPause || *given != absl::Trunc(*given, absl::Seconds(1))) {
              throw CLI::ValidationError(command.get_name() + " --pause",
                                         fmt::format("'{}' is not whole seconds from 0s to 24h", text));
            }
            pause = *given;
          },
          "Between the end of a wave and the next one; 60s unless given")
      ->type_name("DURATION");
}

void AddResetCommand(CommandLine& line, CLI::App& phones) {
  auto arguments = std::make_shared<ResetArguments>();
  CLI::App& command = AddCommand(
      line, phones, "reset",
      "Have phones reset in waves, so that they load what is published now: those that the filter chooses when the "
      "order "
      "is given, or that are named",
      "  trustctl phones reset --out-of-step --plan --reason 'new lists'\n"
      "  trustctl phones reset --out-of-step --hours 22:00-05:00 --reason 'new lists'\n"
      "  trustctl phones reset --site Berlin --wave 50 --pause 2m --stop-at-failures 2% --reason move --watch\n"
      "  trustctl phones reset --device SEP001122334455 --hook asterisk --reason 'ticket 4711'",
      [arguments](Environment& environment) { return Reset(environment, *arguments); });
  AddPhoneFilter(command, arguments->filter);
  AddTime(command, "--since", arguments->filter.since, "Only reported at this time or later, or so long ago at most");
  command.add_flag("--out-of-step", arguments->out_of_step, "Only those that do not hold the current lists");
  AddDeviceNames(command, "--device", arguments->devices, "These, instead of a filter; may be given several times");
  AddWaves(command, arguments->waves);
  AddPause(command, arguments->pause);
  AddText(command, "--reason", kLongestReason, arguments->reason, "Why, for the audit log")->required();
  CLI::Option* const plan =
      command.add_flag("--plan", arguments->plan, "Say how many phones it would be, and reset none");
  command.add_flag("--watch", arguments->watch, "Follow it until it has ended or stopped; Ctrl-C leaves it running")
      ->excludes(plan);
  command.parse_complete_callback([arguments] {
    if (!arguments->devices.empty() && arguments->HasFilter()) {
      throw CLI::ValidationError("reset", "phones are either named with --device or chosen by a filter");
    }
  });
}

absl::StatusOr<int> List(Environment& environment, int64_t limit) {
  v1::ListResetsRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  ASSIGN_OR_RETURN(Client<v1::Resets> client, environment.Connect<v1::Resets>(kItld));
  ListWriter writer(environment.out(), environment.options().output, ResetColumns(), "no resets");
  RETURN_IF_ERROR(ForEachInPages(
      environment, client, &v1::Resets::Stub::ListResets, std::move(request), limit,
      [](const auto& page) -> const auto& { return page.resets(); },
      [&](const v1::Reset& reset) { writer.Add(ResetRow(reset)); }));
  writer.Finish();
  return kExitSuccess;
}

struct ShowArguments {
  std::optional<int64_t> number;
  bool phones = false;
  bool failed = false;
  bool watch = false;
  int64_t limit = 0;
};

absl::StatusOr<int> Show(Environment& environment, const ShowArguments& arguments) {
  if (arguments.watch) return Watch(environment, arguments.number.value_or(0));
  v1::ShowResetRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_number(arguments.number.value_or(0));
  request.set_failed_only(arguments.failed);
  ASSIGN_OR_RETURN(Client<v1::Resets> client, environment.Connect<v1::Resets>(kItld));
  if (!arguments.phones && !arguments.failed) {
    request.set_page_size(1);
    ASSIGN_OR_RETURN(const v1::ShowResetResponse response,
                     (environment.Ask(client, &v1::Resets::Stub::ShowReset, request)));
    WriteRecord(environment.out(), environment.options().output, ResetRecord(response.reset()));
    return kExitSuccess;
  }
  ListWriter writer(environment.out(), environment.options().output, PhoneResetColumns(),
                    arguments.failed ? "no phone has failed" : "no phones");
  RETURN_IF_ERROR(ForEachInPages(
      environment, client, &v1::Resets::Stub::ShowReset, std::move(request), arguments.limit,
      [](const auto& page) -> const auto& { return page.phones(); },
      [&](const v1::ShowResetResponse::PhoneReset& phone) { writer.Add(PhoneResetRow(phone)); }));
  writer.Finish();
  return kExitSuccess;
}

CLI::Option* AddResetNumber(CLI::App& command, std::optional<int64_t>& number) {
  return AddNumber(command, "N", "N", 1, std::numeric_limits<int32_t>::max(), number,
                   "Number of the reset: see `trustctl phones resets list`")
      ->required();
}

void AddShowCommand(CommandLine& line, CLI::App& resets) {
  auto arguments = std::make_shared<ShowArguments>();
  CLI::App& command = AddCommand(line, resets, "show", "Show a reset and how far it is, or what became of its phones",
                                 "  trustctl phones resets show 7\n"
                                 "  trustctl phones resets show 7 --watch\n"
                                 "  trustctl phones resets show 7 --failed --output csv > failed.csv",
                                 [arguments](Environment& environment) { return Show(environment, *arguments); });
  AddResetNumber(command, arguments->number);
  CLI::Option* const phones = command.add_flag("--each", arguments->phones,
                                               "Each of its phones, with the hook's answer, in place of the whole");
  CLI::Option* const failed = command.add_flag("--failed", arguments->failed, "The same, only those that failed");
  AddCount(command, "--limit", arguments->limit, "The first so many phones; 0 for all");
  command.add_flag("--watch", arguments->watch, "Follow it until it has ended or stopped")
      ->excludes(phones)
      ->excludes(failed);
}

struct ChangeArguments {
  std::optional<int64_t> number;
  std::optional<std::string> reason;
};

absl::StatusOr<int> Change(Environment& environment, const ChangeArguments& arguments,
                           v1::ChangeResetRequest::Change change) {
  v1::ChangeResetRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_number(arguments.number.value_or(0));
  request.set_change(change);
  request.set_reason(arguments.reason.value_or(""));
  ASSIGN_OR_RETURN(Client<v1::Resets> client, environment.Connect<v1::Resets>(kItld));
  ASSIGN_OR_RETURN(const v1::ChangeResetResponse response,
                   (environment.Ask(client, &v1::Resets::Stub::ChangeReset, request)));
  const v1::Reset& reset = response.reset();
  WriteResult(
      environment.out(), environment.options().output,
      fmt::format("reset {} is {}; {}", reset.number(), WordFor(kResetStates, reset.state()), ResetProgress(reset)),
      ResetRecord(reset));
  return kExitSuccess;
}

void AddChangeCommand(CommandLine& line, CLI::App& resets, const std::string& name, const std::string& description,
                      v1::ChangeResetRequest::Change change) {
  auto arguments = std::make_shared<ChangeArguments>();
  CLI::App& command = AddCommand(
      line, resets, name, description, fmt::format("  trustctl phones resets {} 7 --reason 'ticket 4711'", name),
      [arguments, change](Environment& environment) { return Change(environment, *arguments, change); });
  AddResetNumber(command, arguments->number);
  AddText(command, "--reason", kLongestReason, arguments->reason, "Why, for the audit log");
}

}  // namespace

void AddPhoneResetCommands(CommandLine& line, CLI::App& phones) {
  AddResetCommand(line, phones);
  CLI::App& resets = AddGroup(phones, "resets", "Resets of phones that were ordered",
                              "  trustctl phones resets list\n"
                              "  trustctl phones resets show 7 --watch\n"
                              "  trustctl phones resets pause 7");
  auto limit = std::make_shared<int64_t>(0);
  CLI::App& list = AddCommand(line, resets, "list", "List resets, the newest first",
                              "  trustctl phones resets list\n"
                              "  trustctl phones resets list --limit 5 --output json",
                              [limit](Environment& environment) { return List(environment, *limit); });
  AddCount(list, "--limit", *limit, "The newest so many; 0 for all");
  AddShowCommand(line, resets);
  AddChangeCommand(line, resets, "pause", "Begin no further wave; phones at the hook are reset all the same",
                   v1::ChangeResetRequest::CHANGE_PAUSE);
  AddChangeCommand(line, resets, "resume", "Let one go on that was paused, or has stopped by itself",
                   v1::ChangeResetRequest::CHANGE_RESUME);
  AddChangeCommand(line, resets, "abort", "End one for good; phones that were reset are not called back",
                   v1::ChangeResetRequest::CHANGE_ABORT);
}

}  // namespace trustline
