// A hook as a process: what it is given, how it is watched and ended.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/posix/unique_fd.h"

namespace trustline {

struct HookCommand {
  std::string path;                      // absolute
  std::vector<std::string> environment;  // "NAME=value"; it has no other
  std::string_view input;                // its whole standard input
};

// In a process group of its own, in the folder "/", with no descriptor but its standard ones: input, from a file in
// memory, so that nothing waits for its reading; output and error output in a pipe each. Signals are as a new process
// has them. Destroying one kills its group and waits. Move-only; used by one thread at a time.
class HookProcess {
 public:
  // FailedPrecondition with the reason when it cannot be executed; ResourceExhausted without descriptors or processes.
  static absl::StatusOr<HookProcess> Start(const HookCommand& command);

  HookProcess(HookProcess&& other) noexcept
      : pid_(std::exchange(other.pid_, -1)),
        pidfd_(std::move(other.pidfd_)),
        output_(std::move(other.output_)),
        errors_(std::move(other.errors_)),
        wait_status_(other.wait_status_) {}
  HookProcess& operator=(HookProcess&&) = delete;
  ~HookProcess();

  int ended_fd() const { return pidfd_.get(); }    // readable once the process has ended
  int output_fd() const { return output_.get(); }  // non-blocking; -1 after its end was read
  int error_output_fd() const { return errors_.get(); }

  // What can be read now, at most 64 KiB; empty when there is nothing (any more).
  std::string ReadOutput() { return Read(output_); }
  std::string ReadErrorOutput() { return Read(errors_); }

  // SIGKILL to the process and all of its group.
  void Kill() const;
  // The status as waitpid gives it, once the process has ended; kills what it left in its group.
  std::optional<int> TryWait();

 private:
  HookProcess(pid_t pid, UniqueFd pidfd, UniqueFd output, UniqueFd errors)
      : pid_(pid), pidfd_(std::move(pidfd)), output_(std::move(output)), errors_(std::move(errors)) {}
  static std::string Read(UniqueFd& from);

  pid_t pid_;
  UniqueFd pidfd_;
  UniqueFd output_;
  UniqueFd errors_;
  std::optional<int> wait_status_;
};

}  // namespace trustline
