// Child processes: started with rights of their own, and dying with their parent.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/supervisor/system_user.h"
#include "common/posix/unique_fd.h"

namespace trustline {

struct ChildCommand {
  std::string program;                 // absolute path, also argv[0]
  std::vector<std::string> arguments;  // without argv[0]
  std::optional<SystemUser> user;      // none: as this process
  int death_signal = SIGTERM;          // what the child gets when this process dies, whatever kills it
};

// A process in a process group of its own, its output and error output joined in one pipe, its input empty. Destroying
// one that still runs kills its group and waits. Move-only; used by the thread that started it, which must live as long
// (the death signal belongs to that thread).
class ChildProcess {
 public:
  // The program is opened before rights are given up, so that it may lie in a directory which `user` cannot enter; the
  // file itself must be executable for that user. NotFound or PermissionDenied name it.
  static absl::StatusOr<ChildProcess> Start(const ChildCommand& command);

  ChildProcess(ChildProcess&&) = default;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ~ChildProcess();

  pid_t pid() const { return pid_; }
  int ended_fd() const { return pidfd_.get(); }    // readable once the process has ended
  int output_fd() const { return output_.get(); }  // non-blocking; -1 after its end was read

  // What can be read now of the output; closes it at its end.
  std::string ReadOutput();

  // The status as waitpid gives it, once the process has ended; kills what it left in its group.
  std::optional<int> TryWait();

  void Signal(int signal) const;
  // SIGKILL to the whole process group.
  void Kill() const;

 private:
  ChildProcess(pid_t pid, UniqueFd pidfd, UniqueFd output)
      : pid_(pid), pidfd_(std::move(pidfd)), output_(std::move(output)) {}
  void End();

  pid_t pid_;
  UniqueFd pidfd_;
  UniqueFd output_;
  std::optional<int> wait_status_;
};

// "ended with status 1", "was ended by signal 9 (Killed)".
std::string WaitStatusText(int wait_status);

struct FinishedProcess {
  int wait_status;
  std::string output;
};

// Runs a command to its end. DeadlineExceeded after `timeout`, when it is killed.
absl::StatusOr<FinishedProcess> RunToEnd(const ChildCommand& command, absl::Duration timeout);

}  // namespace trustline
