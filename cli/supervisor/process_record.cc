#include "cli/supervisor/process_record.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <sstream>

#include "cli/supervisor/private_file.h"
#include "common/posix/pidfd.h"
#include "common/posix/unique_fd.h"
#include "common/status/status.h"

namespace trustline {
namespace {

absl::StatusOr<std::string> BootId() {
  ASSIGN_OR_RETURN(std::string text, ReadSmallFile("/proc/sys/kernel/random/boot_id"));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

// True when the process ended within `patience`.
bool WaitForEnd(int pidfd, absl::Duration patience) {
  pollfd event{.fd = pidfd, .events = POLLIN, .revents = 0};
  return poll(&event, 1, static_cast<int>(absl::ToInt64Milliseconds(patience))) == 1;
}

}  // namespace

absl::StatusOr<ProcessRecord> ProcessRecord::Of(pid_t pid) {
  auto text = ReadSmallFile(fmt::format("/proc/{}/stat", pid));
  if (!text.ok()) return NotFound("there is no process {}", pid);
  // "PID (COMMAND) STATE PPID ...": the command may hold blanks and parentheses, so count from its last one.
  const size_t end = text->rfind(')');
  if (end == std::string::npos) return DataLoss("/proc/{}/stat cannot be read", pid);
  std::istringstream fields(text->substr(end + 1));
  std::string skipped;
  for (int field = 3; field < 22; ++field) fields >> skipped;
  ProcessRecord record{.pid = pid, .start_time = 0, .boot_id = ""};
  if (!(fields >> record.start_time)) return DataLoss("/proc/{}/stat cannot be read", pid);
  ASSIGN_OR_RETURN(record.boot_id, BootId());
  return record;
}

absl::StatusOr<ProcessRecord> ProcessRecord::Read(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(path));
  std::istringstream fields(text);
  ProcessRecord record;
  if (!(fields >> record.pid >> record.start_time >> record.boot_id) || record.pid <= 1) {
    return DataLoss("{} is not a pid file of ours", path);
  }
  return record;
}

absl::Status ProcessRecord::Write(const std::string& path) const {
  return WriteFileWhole(path, fmt::format("{} {} {}\n", pid, start_time, boot_id), 0644);
}

absl::StatusOr<bool> EndRecordedProcess(const std::string& path, int signal, absl::Duration patience) {
  const auto recorded = ProcessRecord::Read(path);
  bool ended = false;
  if (recorded.ok()) {
    // The descriptor is taken before the comparison: from here on the number cannot pass to another process unnoticed.
    const UniqueFd pidfd(OpenPidfd(recorded->pid));
    const auto running = ProcessRecord::Of(recorded->pid);
    if (pidfd.valid() && running.ok() && *running == *recorded) {
      SignalPidfd(pidfd.get(), signal);
      if (!WaitForEnd(pidfd.get(), patience)) {
        SignalPidfd(pidfd.get(), SIGKILL);
        if (!WaitForEnd(pidfd.get(), absl::Seconds(10))) {
          return FailedPrecondition("process {} of an earlier start does not end, not even by kill -9 {}",
                                    recorded->pid, recorded->pid);
        }
      }
      ended = true;
    }
  }
  RETURN_IF_ERROR(RemoveTree(path));
  return ended;
}

}  // namespace trustline
