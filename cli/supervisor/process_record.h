// Pid files that cannot be mistaken: they name a process by its number, its start time and the machine's boot.
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace trustline {

// What stands in a pid file: "PID START_TIME BOOT_ID".
struct ProcessRecord {
  pid_t pid;
  unsigned long long start_time;  // clock ticks since boot, as /proc/PID/stat has it (proc(5), field 22)
  std::string boot_id;

  // Of a running process; NotFound when there is none.
  static absl::StatusOr<ProcessRecord> Of(pid_t pid);
  static absl::StatusOr<ProcessRecord> Read(const std::string& path);
  absl::Status Write(const std::string& path) const;

  bool operator==(const ProcessRecord&) const = default;
};

// Ends the process that the pid file names if it is still the same one: `signal`, and SIGKILL after `patience`. Returns
// whether there was one. The file is removed. A file that cannot be read names nobody.
absl::StatusOr<bool> EndRecordedProcess(const std::string& path, int signal, absl::Duration patience);

}  // namespace trustline
