#include "itl/reset/reset_runner.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <utility>

#include "common/postgres/transaction.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr absl::Duration kOldInterval = absl::Hours(1);
constexpr std::string_view kPhonesMetric = "trustline_reset_phones_total";
constexpr std::string_view kPhonesHelp = "Phones that hooks were given to reset, by their answers.";

std::string ResetText(const OpenReset& reset) { return fmt::format("{} of {}", reset.reset_id, reset.cluster); }

}  // namespace

ResetRunner::ResetRunner(ResetRunnerOptions options, const ResetHooks& hooks, Pool& pool, Pool& slow_pool,
                         const Clock& clock, Log& log, Metrics& metrics)
    : options_(std::move(options)),
      hooks_(hooks),
      pool_(pool),
      slow_pool_(slow_pool),
      clock_(clock),
      log_(log),
      running_(metrics.GetGauge("trustline_resets_running", "Resets of phones that run, or wait for their hours.")),
      accepted_(metrics.GetCounter(kPhonesMetric, kPhonesHelp, {{"outcome", "accepted"}})),
      failed_(metrics.GetCounter(kPhonesMetric, kPhonesHelp, {{"outcome", "failed"}})),
      interrupt_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

ResetRunner::~ResetRunner() { Stop(); }

void ResetRunner::Start() {
  thread_ = std::thread([this] { Run(); });
}

void ResetRunner::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (interrupt_.valid()) eventfd_write(interrupt_.get(), 1);
  if (thread_.joinable()) thread_.join();
}

bool ResetRunner::IsStopping() {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

void ResetRunner::Run() {
  absl::Time next_old = absl::InfinitePast();
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    absl::Status done = AdvanceAll();
    if (done.ok() && clock_.Now() >= next_old) {
      done = ForgetOld();
      if (done.ok()) next_old = clock_.Now() + kOldInterval;
    }
    // Once for each problem, however long it lasts.
    std::string problem = done.ok() ? "" : std::string(StatusMessage(done));
    if (!problem.empty() && problem != told_) {
      log_.Warning("RESETS_HELD_UP", "resets of phones cannot go on; it is tried again", {{"reason", problem}});
    }
    told_ = std::move(problem);
    lock.lock();
    changed_.wait_for(lock, absl::ToChronoMilliseconds(options_.interval), [this] { return stopping_; });
  }
}

absl::Status ResetRunner::AdvanceAll() {
  RETURN_IF_ERROR(Record());
  std::vector<OpenReset> resets;
  {
    ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
    ASSIGN_OR_RETURN(resets, ListRunningResets(*lease));
  }
  running_.Set(static_cast<double>(resets.size()));
  absl::Status first_problem;
  for (const OpenReset& reset : resets) {
    if (IsStopping()) break;
    if (const absl::Status done = Advance(reset); !done.ok() && first_problem.ok()) {
      first_problem = Annotate(done, fmt::format("reset {}", ResetText(reset)));
    }
  }
  return first_problem;
}

absl::Status ResetRunner::Advance(const OpenReset& reset) {
  ASSIGN_OR_RETURN(const ResetWave::Begun begun,
                   RunInTransaction(pool_, {}, [&](Connection& connection) -> absl::StatusOr<ResetWave::Begun> {
                     return ResetWave(connection, reset, options_.actor).Begin(clock_.Now());
                   }));
  if (begun.is_done) Tell(reset, {.kind = ResetWave::Ended::Kind::kDone, .reason = "", .reset = begun.reset});
  if (begun.phones.empty()) return absl::OkStatus();
  return HandOver(reset, begun);
}

absl::Status ResetRunner::HandOver(const OpenReset& reset, const ResetWave::Begun& begun) {
  const absl::StatusOr<ResetHook> hook = hooks_.Find(begun.hook);
  absl::StatusOr<HookOutcome> outcome =
      hook.ok() ? RunHook(*hook, reset.cluster, reset.reset_id, begun.phones, interrupt_.get()) : hook.status();
  if (absl::IsResourceExhausted(outcome.status())) return outcome.status();
  if (!outcome.ok()) {
    const std::string reason(StatusMessage(outcome.status()));
    log_.Error("RESET_HOOK_UNUSABLE", "a reset has stopped because its hook cannot be run; resume it once it can",
               {{"cluster", reset.cluster}, {"reset", reset.reset_id}, {"reason", reason}});
    return RunInTransaction(pool_, {}, [&](Connection& connection) -> absl::Status {
      return ResetWave(connection, reset, options_.actor).TakeBack(begun.phones, reason);
    });
  }
  TellOutput(reset, *hook, *outcome);
  unrecorded_ = {.reset = reset, .answers = std::move(outcome->answers), .is_whole = !outcome->is_interrupted};
  return Record();
}

absl::Status ResetRunner::Record() {
  if (!unrecorded_) return absl::OkStatus();
  const absl::StatusOr<ResetWave::Ended> ended =
      RunInTransaction(pool_, {}, [&](Connection& connection) -> absl::StatusOr<ResetWave::Ended> {
        return ResetWave(connection, unrecorded_->reset, options_.actor)
            .End(unrecorded_->answers, unrecorded_->is_whole, clock_.Now());
      });
  if (ended.ok()) Tell(unrecorded_->reset, *ended);
  // They wait for a database that is away. What it does not take holds up no other reset; the wave comes again.
  if (!absl::IsUnavailable(ended.status()) && !absl::IsDeadlineExceeded(ended.status()) &&
      !absl::IsResourceExhausted(ended.status()) && !absl::IsAborted(ended.status())) {
    unrecorded_.reset();
  }
  return ended.status();
}

void ResetRunner::Tell(const OpenReset& reset, const ResetWave::Ended& ended) {
  accepted_.Add(static_cast<uint64_t>(ended.accepted));
  failed_.Add(static_cast<uint64_t>(ended.failed));
  const ResetCounts& counts = ended.reset.counts;
  if (ended.accepted + ended.failed > 0) {
    log_.Info("RESET_WAVE", "the hook has answered for a wave of phones",
              {{"cluster", reset.cluster},
               {"reset", reset.reset_id},
               {"accepted", ended.accepted},
               {"failed", ended.failed},
               {"waiting", counts.waiting}});
  }
  if (ended.kind == ResetWave::Ended::Kind::kStopped) {
    log_.Error("RESET_STOPPED", "a reset of phones has stopped; see to its failures, then resume or abort it",
               {{"cluster", reset.cluster}, {"reset", reset.reset_id}, {"reason", ended.reason}});
  }
  if (ended.kind == ResetWave::Ended::Kind::kDone) {
    log_.Info("RESET_DONE", "a reset of phones is done",
              {{"cluster", reset.cluster},
               {"reset", reset.reset_id},
               {"accepted", counts.accepted},
               {"failed", counts.failed},
               {"gone", counts.gone}});
  }
}

void ResetRunner::TellOutput(const OpenReset& reset, const ResetHook& hook, const HookOutcome& outcome) {
  for (const std::string& line : outcome.errors) {
    log_.Warning("RESET_HOOK_SAYS", "a hook has written to its error output",
                 {{"cluster", reset.cluster}, {"reset", reset.reset_id}, {"hook", hook.name}, {"line", line}});
  }
  if (outcome.more_errors > 0) {
    log_.Warning("RESET_HOOK_SAYS_MORE", "a hook has written more to its error output than is logged",
                 {{"reset", reset.reset_id}, {"hook", hook.name}, {"lines", outcome.more_errors}});
  }
  if (outcome.ignored_lines > 0) {
    log_.Warning("RESET_HOOK_ANSWER_IGNORED", "lines of a hook's output are no answers for phones that it was given",
                 {{"cluster", reset.cluster},
                  {"reset", reset.reset_id},
                  {"hook", hook.name},
                  {"lines", outcome.ignored_lines},
                  {"first", outcome.first_ignored_line}});
  }
  if (!outcome.ending.empty()) {
    log_.Warning("RESET_HOOK_FAILED", "a hook did not end well: phones that it did not answer for have failed",
                 {{"cluster", reset.cluster}, {"reset", reset.reset_id}, {"hook", hook.name}, {"it", outcome.ending}});
  }
}

absl::Status ResetRunner::ForgetOld() {
  while (!IsStopping()) {
    ASSIGN_OR_RETURN(const bool one_more, RunInTransaction(slow_pool_, {}, [&](Connection& connection) {
                       return ForgetOldReset(connection, clock_.Now() - options_.history);
                     }));
    if (!one_more) break;
  }
  return absl::OkStatus();
}

}  // namespace trustline
