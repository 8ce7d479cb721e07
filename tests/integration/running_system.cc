#include "tests/integration/running_system.h"

#include <poll.h>

#include "absl/time/clock.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr absl::Duration kStartLimit = absl::Seconds(120);
constexpr absl::Duration kStopLimit = absl::Seconds(30);

std::string BuiltProgram(const std::string& program) { return std::string(TRUSTLINE_BIN_DIR "/") + program; }

}  // namespace

absl::StatusOr<std::unique_ptr<RunningSystem>> RunningSystem::Start(const std::string& data, int port_offset,
                                                                    std::vector<std::string> extra) {
  std::vector<std::string> arguments = {"up",       "--data",   data, "--port-offset", std::to_string(port_offset),
                                        "--listen", "127.0.0.1"};
  arguments.insert(arguments.end(), extra.begin(), extra.end());
  ASSIGN_OR_RETURN(ChildProcess process,
                   ChildProcess::Start({.program = BuiltProgram("trustline"), .arguments = std::move(arguments)}));
  auto system = std::unique_ptr<RunningSystem>(new RunningSystem(data, port_offset, std::move(process)));
  RETURN_IF_ERROR(system->WaitForReady());
  return system;
}

absl::Status RunningSystem::WaitForReady() {
  const absl::Time deadline = absl::Now() + kStartLimit;
  while (absl::Now() < deadline) {
    pollfd event{.fd = process_.output_fd(), .events = POLLIN, .revents = 0};
    poll(&event, 1, 200);
    output_ += process_.ReadOutput();
    if (output_.find("\nready\n") != std::string::npos) return absl::OkStatus();
    if (process_.TryWait()) return Internal("trustline up has ended: {}{}", output_, process_.ReadOutput());
  }
  return DeadlineExceeded("trustline up is not ready: {}", output_);
}

std::string RunningSystem::Stop() {
  process_.Signal(SIGTERM);
  const absl::Time deadline = absl::Now() + kStopLimit;
  while (absl::Now() < deadline) {
    pollfd events[] = {{process_.ended_fd(), POLLIN, 0}, {process_.output_fd(), POLLIN, 0}};
    poll(events, 2, 200);
    output_ += process_.ReadOutput();
    if (const auto status = process_.TryWait()) return WaitStatusText(*status);
  }
  return "did not end";
}

ProgramResult RunningSystem::Trustctl(const std::vector<std::string>& arguments, const std::string& context) const {
  return RunBuilt("trustctl", arguments,
                  {"TRUSTLINE_CONTEXT=" + (context.empty() ? data_ + "/admin/context.toml" : context)});
}

ProgramResult RunBuilt(const std::string& program, const std::vector<std::string>& arguments,
                       const std::vector<std::string>& environment) {
  std::vector<std::string> command = {BuiltProgram(program)};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return RunProgram(command, environment);
}

}  // namespace trustline
