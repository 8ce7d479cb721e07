#include "cli/supervisor/supervisor.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "absl/time/clock.h"
#include "cli/supervisor/private_file.h"
#include "cli/supervisor/process_record.h"
#include "common/status/status.h"

namespace trustline {
namespace {

// How often WaitUntil asks.
constexpr absl::Duration kPoll = absl::Milliseconds(50);

// How often Run tries to finish.
constexpr absl::Duration kFinishInterval = absl::Seconds(1);

// So many requests to stop mean now. Two come easily by one Ctrl-C: from the terminal and from a script around us.
constexpr int kImpatientRequests = 3;

}  // namespace

struct Supervisor::Child {
  ChildSpec spec;
  ChildLog log;
  BackOff back_off;
  std::optional<ChildProcess> process;
  absl::Time started_at;
  absl::Time restart_at = absl::InfiniteFuture();
  absl::Status last_end;
};

Supervisor::Supervisor(std::function<void(std::string_view)> report) : report_(std::move(report)) {}

absl::StatusOr<std::unique_ptr<Supervisor>> Supervisor::Create(std::function<void(std::string_view)> report) {
  std::unique_ptr<Supervisor> supervisor(new Supervisor(std::move(report)));
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGHUP);  // its terminal has gone
  if (pthread_sigmask(SIG_BLOCK, &signals, nullptr) != 0) return Internal("cannot block signals");
  supervisor->signals_.Reset(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!supervisor->signals_.valid()) return Internal("cannot take signals: {}", std::strerror(errno));
  return supervisor;
}

Supervisor::~Supervisor() { StopAll(); }

absl::Status Supervisor::Start(ChildSpec spec) {
  auto is_important = spec.is_important;
  const auto on_line = [this, name = spec.name, is_important](std::string_view line) {
    if (is_important(line)) report_(fmt::format("[{}] {}", name, line));
  };
  ASSIGN_OR_RETURN(ChildLog log, ChildLog::Open({.path = spec.log_path}, on_line));
  auto child = std::make_unique<Child>(Child{.spec = std::move(spec), .log = std::move(log)});
  const absl::Status started = StartProcess(*child);
  if (!started.ok() && !child->spec.is_optional) return started;
  if (!started.ok()) PutOff(*child, started);
  children_.push_back(std::move(child));
  return absl::OkStatus();
}

absl::Status Supervisor::StartProcess(Child& child) {
  if (child.spec.prepare) RETURN_IF_ERROR(child.spec.prepare());
  ASSIGN_OR_RETURN(child.process, ChildProcess::Start(child.spec.command));
  child.started_at = absl::Now();
  child.restart_at = absl::InfiniteFuture();
  ASSIGN_OR_RETURN(const ProcessRecord record, ProcessRecord::Of(child.process->pid()));
  return record.Write(child.spec.pid_path);
}

absl::Status Supervisor::WaitUntil(std::string_view what, absl::Duration timeout,
                                   const std::function<absl::StatusOr<bool>()>& done) {
  const absl::Time deadline = absl::Now() + timeout;
  for (;;) {
    Step(absl::ZeroDuration());
    RETURN_IF_ERROR(StartFailure());
    ASSIGN_OR_RETURN(const bool is_done, done());
    if (is_done) return absl::OkStatus();
    if (absl::Now() >= deadline) return DeadlineExceeded("{} within {}", what, absl::FormatDuration(timeout));
    Step(kPoll);
  }
}

absl::Status Supervisor::StartFailure() const {
  if (stop_requested_) return absl::CancelledError("stopped before it was ready");
  return early_end_;
}

absl::Status Supervisor::LastEnd(std::string_view name) const {
  for (const auto& child : children_) {
    if (child->spec.name == name) return child->last_end;
  }
  return absl::OkStatus();
}

void Supervisor::Run(const std::function<void()>& daily, const std::function<bool()>& finish) {
  starting_ = false;
  absl::Time next_daily = absl::Now() + absl::Hours(24);
  absl::Time next_finish = absl::Now();
  while (!stop_requested_) {
    Step(std::min(absl::Minutes(1), next_finish - absl::Now()));
    if (stop_requested_) return;
    if (absl::Now() >= next_finish) {
      next_finish = finish() ? absl::InfiniteFuture() : absl::Now() + kFinishInterval;
    }
    if (absl::Now() < next_daily) continue;
    next_daily = absl::Now() + absl::Hours(24);
    daily();
  }
}

void Supervisor::Step(absl::Duration timeout) {
  std::vector<pollfd> events = {{.fd = signals_.get(), .events = POLLIN, .revents = 0}};
  for (const auto& child : children_) {
    if (!child->process) continue;
    events.push_back({.fd = child->process->ended_fd(), .events = POLLIN, .revents = 0});
    events.push_back({.fd = child->process->output_fd(), .events = POLLIN, .revents = 0});
  }
  const absl::Duration wait = UntilNextRestart(timeout);
  poll(events.data(), events.size(),
       static_cast<int>(absl::ToInt64Milliseconds(absl::Ceil(wait, absl::Milliseconds(1)))));
  ReadSignals();
  for (const auto& child : children_) {
    if (!child->process) continue;
    child->log.Append(child->process->ReadOutput());
    if (const std::optional<int> status = child->process->TryWait()) AfterEnd(*child, *status);
  }
  if (!stopping_) RestartDue();
}

void Supervisor::ReadSignals() {
  signalfd_siginfo info;
  while (read(signals_.get(), &info, sizeof(info)) == sizeof(info)) {
    stop_requested_ = true;
    ++stop_requests_;
  }
}

void Supervisor::AfterEnd(Child& child, int wait_status) {
  child.log.Append(child.process->ReadOutput());
  const std::string how = WaitStatusText(wait_status);
  if (absl::Status removed = RemoveTree(child.spec.pid_path); !removed.ok()) report_(StatusMessage(removed));
  const absl::Duration lived = absl::Now() - child.started_at;
  child.process.reset();
  if (stopping_) {
    child.log.Note(fmt::format("{} {}", child.spec.name, how));
    return;
  }
  child.last_end =
      FailedPrecondition("{} {}: {} (log: {})", child.spec.name, how, child.log.last_line(), child.spec.log_path);
  if (WIFEXITED(wait_status) && child.spec.must_survive_start && !child.spec.is_optional) {
    early_end_ = child.last_end;
    if (starting_) {
      // The start is given up.
      child.log.Note(fmt::format("{} {}", child.spec.name, how));
      child.restart_at = absl::InfiniteFuture();
      return;
    }
  }
  const absl::Duration wait = child.back_off.AfterDeath(lived);
  child.restart_at = absl::Now() + wait;
  const std::string note =
      fmt::format("{} {}; it starts again in {}", child.spec.name, how, absl::FormatDuration(wait));
  child.log.Note(note);
  report_(note);
}

void Supervisor::RestartDue() {
  for (const auto& child : children_) {
    if (child->process || absl::Now() < child->restart_at) continue;
    if (const absl::Status started = StartProcess(*child); !started.ok()) {
      PutOff(*child, started);
    } else {
      child->log.Note(fmt::format("{} was started again", child->spec.name));
    }
  }
}

void Supervisor::PutOff(Child& child, const absl::Status& not_started) {
  child.process.reset();
  child.last_end = Annotate(not_started, fmt::format("{} could not be started", child.spec.name));
  const absl::Duration wait = child.back_off.AfterDeath(absl::ZeroDuration());
  child.restart_at = absl::Now() + wait;
  report_(fmt::format("{}; next try in {}", child.last_end.message(), absl::FormatDuration(wait)));
}

absl::Duration Supervisor::UntilNextRestart(absl::Duration at_most) const {
  absl::Duration wait = at_most;
  for (const auto& child : children_) {
    if (!child->process && !stopping_) wait = std::min(wait, child->restart_at - absl::Now());
  }
  return std::max(wait, absl::ZeroDuration());
}

void Supervisor::StopAll() {
  if (!signals_.valid()) return;
  stopping_ = true;
  for (auto child = children_.rbegin(); child != children_.rend(); ++child) {
    if (!(*child)->process) continue;
    (*child)->process->Signal((*child)->spec.stop_signal);
    const absl::Time deadline = absl::Now() + (*child)->spec.patience;
    while ((*child)->process && absl::Now() < deadline && stop_requests_ < kImpatientRequests) Step(kPoll);
    if (!(*child)->process) continue;
    report_(fmt::format("{} does not stop; it is killed", (*child)->spec.name));
    (*child)->process->Kill();
    while ((*child)->process) Step(kPoll);
  }
  children_.clear();
}

}  // namespace trustline
