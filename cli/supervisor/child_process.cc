#include "cli/supervisor/child_process.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "absl/time/clock.h"
#include "common/posix/pidfd.h"
#include "common/status/status.h"

namespace trustline {
namespace {

// What can go wrong between fork and exec, as the child reports it through a pipe.
struct StartError {
  const char* step;
  int error;
};

// Children get these variables of ours and nothing else: no surprise from the shell that started the supervisor.
std::vector<std::string> ChildEnvironment() {
  std::vector<std::string> environment = {"LANG=C.UTF-8", "LC_ALL=C.UTF-8", "TZ=UTC"};
  for (const char* name : {"PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS"}) {
    if (const char* value = std::getenv(name)) environment.push_back(fmt::format("{}={}", name, value));
  }
  return environment;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// Everything the child needs, made before the fork: afterwards only async-signal-safe calls are allowed, because other
// threads may have held locks.
struct ChildPlan {
  const ChildCommand& command;
  char* const* arguments;
  char* const* environment;
  int program;
  int input;
  int output;
  int report;
  pid_t parent;
};

[[noreturn]] void RunChild(const ChildPlan& plan) {
  const auto fail = [&](const char* step) {
    const StartError error{.step = step, .error = errno};
    const ssize_t ignored = write(plan.report, &error, sizeof(error));
    _exit(ignored == sizeof(error) ? 127 : 126);
  };
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  std::signal(SIGPIPE, SIG_DFL);
  umask(0077);
  if (setpgid(0, 0) != 0) fail("make a process group");
  if (dup2(plan.input, 0) < 0 || dup2(plan.output, 1) < 0 || dup2(plan.output, 2) < 0) fail("connect its output");
  if (chdir("/") != 0) fail("change the directory");
  if (const auto& user = plan.command.user) {
    if (setgroups(1, &user->shared_group) != 0 || setgid(user->gid) != 0 || setuid(user->uid) != 0) {
      fail("change the user");
    }
  }
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail("give up new rights");
  // After the change of user, which clears it. The parent may have died before this call.
  if (prctl(PR_SET_PDEATHSIG, plan.command.death_signal) != 0) fail("set the death signal");
  if (getppid() != plan.parent) _exit(126);
  execve(plan.arguments[0], plan.arguments, plan.environment);
  if (errno == EACCES) fexecve(plan.program, plan.arguments, plan.environment);
  fail("execute it");
  _exit(126);
}

absl::StatusOr<std::pair<UniqueFd, UniqueFd>> MakePipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ResourceExhausted("cannot make a pipe: {}", std::strerror(errno));
  return std::pair(UniqueFd(ends[0]), UniqueFd(ends[1]));
}

}  // namespace

absl::StatusOr<ChildProcess> ChildProcess::Start(const ChildCommand& command) {
  const UniqueFd program(open(command.program.c_str(), O_RDONLY | O_CLOEXEC));
  if (!program.valid()) {
    const int error = errno;
    if (error == ENOENT) return NotFound("the program {} does not exist", command.program);
    return PermissionDenied("cannot open the program {}: {}", command.program, std::strerror(error));
  }
  const UniqueFd input(open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!input.valid()) return Internal("cannot open /dev/null: {}", std::strerror(errno));
  ASSIGN_OR_RETURN(auto output, MakePipe());
  ASSIGN_OR_RETURN(auto report, MakePipe());

  std::vector<std::string> arguments = command.arguments;
  arguments.insert(arguments.begin(), command.program);
  std::vector<std::string> environment = ChildEnvironment();
  const std::vector<char*> argument_pointers = Pointers(arguments);
  const std::vector<char*> environment_pointers = Pointers(environment);
  const ChildPlan plan{.command = command,
                       .arguments = argument_pointers.data(),
                       .environment = environment_pointers.data(),
                       .program = program.get(),
                       .input = input.get(),
                       .output = output.second.get(),
                       .report = report.second.get(),
                       .parent = getpid()};
  const pid_t pid = fork();
  if (pid < 0) return ResourceExhausted("cannot start a process: {}", std::strerror(errno));
  if (pid == 0) RunChild(plan);

  output.second.Reset();
  report.second.Reset();
  UniqueFd pidfd(OpenPidfd(pid));
  StartError error;
  ssize_t count;
  do {
    count = read(report.first.get(), &error, sizeof(error));
  } while (count < 0 && errno == EINTR);
  if (count == sizeof(error) || !pidfd.valid()) {
    if (count != sizeof(error)) kill(pid, SIGKILL);
    while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    if (count != sizeof(error)) return Internal("cannot watch a process (Linux 5.3 or later is needed)");
    return PermissionDenied("cannot start {}{}: it could not {}: {}", command.program,
                            command.user ? " as the user " + command.user->name : "", error.step,
                            std::strerror(error.error));
  }
  if (fcntl(output.first.get(), F_SETFL, O_NONBLOCK) != 0) return Internal("fcntl: {}", std::strerror(errno));
  return ChildProcess(pid, std::move(pidfd), std::move(output.first));
}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  if (this != &other) {
    End();
    pid_ = other.pid_;
    pidfd_ = std::move(other.pidfd_);
    output_ = std::move(other.output_);
    wait_status_ = other.wait_status_;
  }
  return *this;
}

ChildProcess::~ChildProcess() { End(); }

void ChildProcess::End() {
  if (!pidfd_.valid() || wait_status_) return;
  Kill();
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

std::string ChildProcess::ReadOutput() {
  std::string bytes;
  char buffer[16 * 1024];
  // Bounded, so that a child that writes without end does not keep its supervisor from its other work.
  while (output_.valid() && bytes.size() < 16 * sizeof(buffer)) {
    const ssize_t count = read(output_.get(), buffer, sizeof(buffer));
    if (count > 0) {
      bytes.append(buffer, static_cast<size_t>(count));
    } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
      output_.Reset();
    } else if (errno == EAGAIN) {
      break;
    }
  }
  return bytes;
}

std::optional<int> ChildProcess::TryWait() {
  if (!wait_status_) {
    siginfo_t ended{};
    if (waitid(P_PID, static_cast<id_t>(pid_), &ended, WEXITED | WNOHANG | WNOWAIT) != 0 || ended.si_pid != pid_) {
      return std::nullopt;
    }
    // What it left running in its group. Until the process is waited for its number, and so the group's, is nobody
    // else's.
    kill(-pid_, SIGKILL);
    int status;
    if (waitpid(pid_, &status, WNOHANG) == pid_) wait_status_ = status;
  }
  return wait_status_;
}

void ChildProcess::Signal(int signal) const {
  if (!wait_status_) kill(pid_, signal);
}

void ChildProcess::Kill() const {
  if (wait_status_) return;
  kill(-pid_, SIGKILL);
  kill(pid_, SIGKILL);
}

std::string WaitStatusText(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    return fmt::format("was ended by signal {} ({})", WTERMSIG(wait_status), strsignal(WTERMSIG(wait_status)));
  }
  return fmt::format("ended with status {}", WEXITSTATUS(wait_status));
}

absl::StatusOr<FinishedProcess> RunToEnd(const ChildCommand& command, absl::Duration timeout) {
  ASSIGN_OR_RETURN(ChildProcess child, ChildProcess::Start(command));
  const absl::Time deadline = absl::Now() + timeout;
  FinishedProcess finished;
  while (absl::Now() < deadline) {
    pollfd events[] = {{.fd = child.ended_fd(), .events = POLLIN, .revents = 0},
                       {.fd = child.output_fd(), .events = POLLIN, .revents = 0}};
    poll(events, 2, static_cast<int>(absl::ToInt64Milliseconds(deadline - absl::Now())) + 1);
    finished.output += child.ReadOutput();
    if (const std::optional<int> status = child.TryWait()) {
      finished.output += child.ReadOutput();
      finished.wait_status = *status;
      return finished;
    }
  }
  return DeadlineExceeded("{} did not end within {}", command.program, absl::FormatDuration(timeout));
}

}  // namespace trustline
