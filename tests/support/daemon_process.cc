#include "tests/support/daemon_process.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>

#include "common/net/http_client.h"
#include "common/status/status.h"

namespace trustline {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::chrono::seconds kStartLimit{30};
constexpr std::chrono::seconds kStopLimit{10};
constexpr std::chrono::milliseconds kPoll{10};

// Only async-signal-safe calls: the parent may have threads.
[[noreturn]] void InChildExecute(pid_t parent, char* const* argv, char* const* environment, int output,
                                 std::optional<int> core) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(126);
  if (core) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<size_t>(*core), &set);
    sched_setaffinity(0, sizeof(set), &set);
  }
  const int input = open("/dev/null", O_RDONLY);
  dup2(input, 0);
  dup2(output, 1);
  dup2(output, 2);
  close_range(3, ~0U, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  execve(argv[0], argv, environment);
  _exit(127);
}

}  // namespace

absl::StatusOr<std::unique_ptr<DaemonProcess>> DaemonProcess::Start(const DaemonProcessOptions& options) {
  auto process = std::unique_ptr<DaemonProcess>(new DaemonProcess());
  RETURN_IF_ERROR(process->Launch(options));
  return process;
}

absl::Status DaemonProcess::Launch(const DaemonProcessOptions& options) {
  program_ = options.program;
  std::string config = options.configuration;
  std::string flag = "--config";
  char* const argv[] = {program_.data(), flag.data(), config.data(), nullptr};
  std::vector<std::string> added = options.environment;
  std::vector<char*> environment;
  for (std::string& variable : added) environment.push_back(variable.data());
  for (char** variable = environ; *variable != nullptr; ++variable) environment.push_back(*variable);
  environment.push_back(nullptr);
  int output[2];
  if (pipe2(output, O_CLOEXEC) != 0) return Internal("pipe2: {}", std::strerror(errno));
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) InChildExecute(parent, argv, environment.data(), output[1], options.core);
  close(output[1]);
  if (pid < 0) {
    close(output[0]);
    return Internal("fork: {}", std::strerror(errno));
  }
  pid_ = pid;
  output_ = output[0];
  reader_ = std::thread([this] { ReadOutput(); });
  const absl::Status started = WaitForLog("\"DAEMON_STARTED\"", kStartLimit);
  if (!started.ok()) return Annotate(started, program_);
  ASSIGN_OR_RETURN(grpc_port_, PortInLog("RPC_LISTENING", "port"));
  ASSIGN_OR_RETURN(metrics_port_, PortInLog("DAEMON_STARTED", "metrics_port"));
  return absl::OkStatus();
}

DaemonProcess::~DaemonProcess() {
  if (pid_ < 0) return;
  Kill();
  reader_.join();
  close(output_);
}

void DaemonProcess::ReadOutput() {
  char buffer[16'384];
  ssize_t count;
  while ((count = read(output_, buffer, sizeof(buffer))) > 0 || (count < 0 && errno == EINTR)) {
    if (count < 0) continue;
    const std::lock_guard lock(mutex_);
    log_.append(buffer, static_cast<size_t>(count));
    changed_.notify_all();
  }
  const std::lock_guard lock(mutex_);
  output_ended_ = true;
  changed_.notify_all();
}

std::string DaemonProcess::LogText() const {
  const std::lock_guard lock(mutex_);
  return log_;
}

absl::Status DaemonProcess::WaitForLog(std::string_view text, std::chrono::milliseconds limit) const {
  const SteadyClock::time_point end = SteadyClock::now() + limit;
  std::unique_lock lock(mutex_);
  while (true) {
    const size_t found = log_.find(text);
    // The whole line.
    if (found != std::string::npos && log_.find('\n', found) != std::string::npos) return absl::OkStatus();
    if (output_ended_) return Unavailable("ended without printing {}: {}", text, log_);
    if (changed_.wait_until(lock, end) == std::cv_status::timeout) {
      return DeadlineExceeded("has not printed {}: {}", text, log_);
    }
  }
}

absl::StatusOr<uint16_t> DaemonProcess::PortInLog(std::string_view id, std::string_view field) const {
  const std::string log = LogText();
  const size_t line = log.find(fmt::format("\"{}\"", id));
  const size_t line_end = log.find('\n', line);
  const std::string key = fmt::format("\"{}\":", field);
  const size_t found = line == std::string::npos ? line : log.find(key, line);
  uint16_t port = 0;
  if (found < line_end) std::from_chars(log.data() + found + key.size(), log.data() + line_end, port);
  if (port == 0) return NotFound("no {} in the line {} of: {}", field, id, log);
  return port;
}

absl::Status DaemonProcess::WaitUntilReady(std::chrono::milliseconds limit) const {
  const SteadyClock::time_point end = SteadyClock::now() + limit;
  while (true) {
    const absl::StatusOr<HttpResponse> ready =
        HttpGet("127.0.0.1", metrics_port_, "/health/ready", std::chrono::seconds(5));
    if (ready.ok() && ready->status == 200) return absl::OkStatus();
    if (SteadyClock::now() > end) {
      return DeadlineExceeded("{} is not ready: {}", program_, ready.ok() ? ready->body : ready.status().ToString());
    }
    std::this_thread::sleep_for(kPoll);
  }
}

bool DaemonProcess::Reap(int options) {
  const std::lock_guard lock(reap_mutex_);
  if (ended_) return true;
  int status = 0;
  if (waitpid(pid_, &status, options) != pid_) return false;
  ended_ = true;
  exit_status_ = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return true;
}

bool DaemonProcess::Running() { return !Reap(WNOHANG); }

absl::Status DaemonProcess::Stop() {
  if (!Reap(WNOHANG)) kill(pid_, SIGTERM);
  const SteadyClock::time_point end = SteadyClock::now() + kStopLimit;
  while (!Reap(WNOHANG)) {
    if (SteadyClock::now() > end) {
      Kill();
      return DeadlineExceeded("{} did not stop within {} s: {}", program_, kStopLimit.count(), LogText());
    }
    std::this_thread::sleep_for(kPoll);
  }
  if (exit_status_ != 0) return FailedPrecondition("{} ended with status {}: {}", program_, exit_status_, LogText());
  return absl::OkStatus();
}

absl::Status DaemonProcess::WaitForEnd(std::chrono::milliseconds limit) {
  const SteadyClock::time_point end = SteadyClock::now() + limit;
  while (!Reap(WNOHANG)) {
    if (SteadyClock::now() > end) return DeadlineExceeded("{} still runs: {}", program_, LogText());
    std::this_thread::sleep_for(kPoll);
  }
  return absl::OkStatus();
}

void DaemonProcess::Kill() {
  if (Reap(WNOHANG)) return;
  kill(pid_, SIGKILL);
  Reap(0);
}

absl::StatusOr<int64_t> DaemonProcess::ResidentBytes() const {
  std::ifstream file(fmt::format("/proc/{}/statm", pid_));
  int64_t size = 0;
  int64_t resident = 0;
  if (!(file >> size >> resident)) return Unavailable("{}, process {}, has ended", program_, pid_);
  return resident * sysconf(_SC_PAGESIZE);
}

absl::StatusOr<double> DaemonProcess::CpuSeconds() const {
  clockid_t clock;
  timespec time;
  if (clock_getcpuclockid(pid_, &clock) != 0 || clock_gettime(clock, &time) != 0) {
    return Unavailable("{}, process {}, has ended", program_, pid_);
  }
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

}  // namespace trustline
