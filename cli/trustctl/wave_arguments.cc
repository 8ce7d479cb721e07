#include "cli/trustctl/wave_arguments.h"

#include <fmt/format.h>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "cli/trustctl/command.h"
#include "cli/trustctl/device_arguments.h"
#include "common/service/hours_of_day.h"

namespace trustline {
namespace {

// As itld has it.
constexpr int64_t kLargestWave = 10'000;

std::string CheckHours(const std::string& text) {
  const absl::StatusOr<HoursOfDay> hours = HoursOfDay::Parse(text);
  if (!hours.ok()) return std::string(hours.status().message());
  if (hours->ToText().empty()) return fmt::format("'{}' is at any time: leave the option out for that", text);
  return "";
}

void AddStopAtFailures(CLI::App& command, std::optional<double>& share) {
  command
      .add_option_function<std::string>(
          "--stop-at-failures",
          [&command, &share](const std::string& text) {
            double percent = 0;
            const std::string digits = text.substr(0, text.size() - (text.ends_with('%') ? 1 : 0));
            if (!absl::SimpleAtod(digits, &percent) || !(percent > 0) || percent > 100) {
              throw CLI::ValidationError(command.get_name() + " --stop-at-failures",
                                         fmt::format("'{}' is not a percentage above 0% and up to 100%", text));
            }
            share = percent / 100;
          },
          "Stop by itself when so many of the phones that were tried could not be reset; 5% unless given")
      ->type_name("PERCENT");
}

}  // namespace

CLI::Option* AddHours(CLI::App& command, std::string& hours, const std::string& description) {
  return command.add_option("--hours", hours, description)->type_name("HH:MM-HH:MM")->check(CheckHours);
}

void AddWaves(CLI::App& command, WaveArguments& arguments) {
  AddText(command, "--hook", kMaxDeviceText, arguments.hook,
          "Who resets phones: the name of a hook that itld is configured with; not needed when there is only one");
  AddNumber(command, "--wave", "COUNT", 1, kLargestWave, arguments.wave, "Phones in a wave; 200 unless given");
  AddHours(command, arguments.hours,
           "When waves begin, in the cluster's time zone: 22:00-05:00; at any time unless given");
  AddStopAtFailures(command, arguments.stop_at_failures);
}

}  // namespace trustline
