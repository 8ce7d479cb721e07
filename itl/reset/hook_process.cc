#include "itl/reset/hook_process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "common/posix/pidfd.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr size_t kMostRead = 64 * 1024;

class SpawnAttributes {
 public:
  SpawnAttributes() { posix_spawnattr_init(&attributes_); }
  ~SpawnAttributes() { posix_spawnattr_destroy(&attributes_); }
  SpawnAttributes(const SpawnAttributes&) = delete;
  SpawnAttributes& operator=(const SpawnAttributes&) = delete;
  posix_spawnattr_t* get() { return &attributes_; }

 private:
  posix_spawnattr_t attributes_;
};

class SpawnActions {
 public:
  SpawnActions() { posix_spawn_file_actions_init(&actions_); }
  ~SpawnActions() { posix_spawn_file_actions_destroy(&actions_); }
  SpawnActions(const SpawnActions&) = delete;
  SpawnActions& operator=(const SpawnActions&) = delete;
  posix_spawn_file_actions_t* get() { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_;
};

struct Pipe {
  UniqueFd read, write;
};

absl::StatusOr<Pipe> MakePipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ResourceExhausted("cannot make a pipe: {}", std::strerror(errno));
  Pipe pipe = {.read = UniqueFd(ends[0]), .write = UniqueFd(ends[1])};
  // Only this end: the hook may expect to wait when it writes.
  if (fcntl(pipe.read.get(), F_SETFL, O_NONBLOCK) != 0) return Internal("fcntl: {}", std::strerror(errno));
  return pipe;
}

// A file that holds `content`, to be read from its beginning.
absl::StatusOr<UniqueFd> FileInMemory(std::string_view content) {
  UniqueFd file(memfd_create("phones to reset", MFD_CLOEXEC));
  if (!file.valid()) return ResourceExhausted("cannot make a file in memory: {}", std::strerror(errno));
  while (!content.empty()) {
    const ssize_t written = write(file.get(), content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return ResourceExhausted("cannot write a file in memory: {}", std::strerror(errno));
    content.remove_prefix(static_cast<size_t>(written));
  }
  if (lseek(file.get(), 0, SEEK_SET) != 0) return Internal("lseek: {}", std::strerror(errno));
  return file;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// What posix_spawn is told. `command` is copied: it takes texts that could be changed.
absl::StatusOr<pid_t> Spawn(HookCommand command, int input, int output, int errors) {
  SpawnActions actions;
  SpawnAttributes attributes;
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  int error = 0;
  const auto must = [&error](int result) {
    if (error == 0) error = result;
  };
  must(posix_spawn_file_actions_adddup2(actions.get(), input, STDIN_FILENO));
  must(posix_spawn_file_actions_adddup2(actions.get(), output, STDOUT_FILENO));
  must(posix_spawn_file_actions_adddup2(actions.get(), errors, STDERR_FILENO));
  // All of ours are closed on exec; a library's may not be.
  must(posix_spawn_file_actions_addclosefrom_np(actions.get(), STDERR_FILENO + 1));
  must(posix_spawn_file_actions_addchdir_np(actions.get(), "/"));
  must(posix_spawnattr_setpgroup(attributes.get(), 0));
  must(posix_spawnattr_setsigmask(attributes.get(), &none));
  // itld ignores SIGPIPE, which a shell script must not.
  must(posix_spawnattr_setsigdefault(attributes.get(), &all));
  must(posix_spawnattr_setflags(attributes.get(),
                                POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF));
  if (error != 0) return ResourceExhausted("cannot prepare a process: {}", std::strerror(error));
  std::vector<std::string> arguments = {command.path};
  const std::vector<char*> argument_pointers = Pointers(arguments);
  const std::vector<char*> environment_pointers = Pointers(command.environment);
  pid_t pid = -1;
  error = posix_spawn(&pid, command.path.c_str(), actions.get(), attributes.get(), argument_pointers.data(),
                      environment_pointers.data());
  if (error == EAGAIN || error == ENOMEM) {
    return ResourceExhausted("cannot start a process: {}", std::strerror(error));
  }
  if (error != 0) {
    return FailedPrecondition("the hook {} cannot be executed: {}{}", command.path, std::strerror(error),
                              error == ENOENT ? " (it, or the interpreter that its first line names)" : "");
  }
  return pid;
}

}  // namespace

absl::StatusOr<HookProcess> HookProcess::Start(const HookCommand& command) {
  ASSIGN_OR_RETURN(const UniqueFd input, FileInMemory(command.input));
  ASSIGN_OR_RETURN(Pipe output, MakePipe());
  ASSIGN_OR_RETURN(Pipe errors, MakePipe());
  ASSIGN_OR_RETURN(const pid_t pid, Spawn(command, input.get(), output.write.get(), errors.write.get()));
  HookProcess process(pid, UniqueFd(OpenPidfd(pid)), std::move(output.read), std::move(errors.read));
  // The destructor ends it.
  if (!process.pidfd_.valid()) return ResourceExhausted("cannot watch a process: {}", std::strerror(errno));
  return process;
}

HookProcess::~HookProcess() {
  if (pid_ < 0 || wait_status_) return;
  Kill();
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

std::string HookProcess::Read(UniqueFd& from) {
  std::string bytes;
  if (!from.valid()) return bytes;
  bytes.resize(kMostRead);
  const ssize_t count = read(from.get(), bytes.data(), bytes.size());
  bytes.resize(count > 0 ? static_cast<size_t>(count) : 0);
  if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) from.Reset();
  return bytes;
}

void HookProcess::Kill() const {
  if (wait_status_) return;
  kill(-pid_, SIGKILL);
  kill(pid_, SIGKILL);
}

std::optional<int> HookProcess::TryWait() {
  if (!wait_status_) {
    siginfo_t ended{};
    if (waitid(P_PID, static_cast<id_t>(pid_), &ended, WEXITED | WNOHANG | WNOWAIT) != 0 || ended.si_pid != pid_) {
      return std::nullopt;
    }
    // What it left running in its group. Until the process is waited for its number, and so the group's, is nobody
    // else's.
    kill(-pid_, SIGKILL);
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) == pid_) wait_status_ = status;
  }
  return wait_status_;
}

}  // namespace trustline
