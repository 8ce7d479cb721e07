// Options of work that is done to phones in waves.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>

namespace trustline {

// --hours: what HoursOfDay reads, "22:00-05:00". Anything else, and what is at any time, is a usage error.
CLI::Option* AddHours(CLI::App& command, std::string& hours, const std::string& description);

// How phones are reset.
struct WaveArguments {
  std::optional<int64_t> wave;
  std::string hours;
  std::optional<double> stop_at_failures;  // a share, more than 0 and at most 1
  std::optional<std::string> hook;
};

// --hook, --wave, --hours and --stop-at-failures. `arguments` must outlive the command.
void AddWaves(CLI::App& command, WaveArguments& arguments);

// Into a request that has all four; what was not given is left to itld.
template <typename Request>
void FillWaves(const WaveArguments& arguments, Request& request) {
  request.set_wave(static_cast<int32_t>(arguments.wave.value_or(0)));
  request.set_hours(arguments.hours);
  request.set_stop_at_failures(arguments.stop_at_failures.value_or(0));
  request.set_hook(arguments.hook.value_or(""));
}

}  // namespace trustline
