// Has resets go on: wave after wave, within their hours, until no phone is left or too many fail.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/posix/unique_fd.h"
#include "common/postgres/pool.h"
#include "common/service/clock.h"
#include "common/service/log.h"
#include "common/service/metrics.h"
#include "itl/reset/hook_run.h"
#include "itl/reset/reset_hooks.h"
#include "itl/reset/reset_wave.h"

namespace trustline {

struct ResetRunnerOptions {
  std::string actor;  // identity URI, for the audit log
  absl::Duration interval = absl::Seconds(1);
  absl::Duration history = absl::Hours(24 * 400);  // how long resets that ended are kept
};

// A thread of its own, for the resets of every cluster, one wave after another: a hook holds up other resets for its
// deadline at most. What it has to know after a restart stands in the database. Several itld on one database do no harm
// but that phones may be reset twice. The references must outlive it. Metrics: trustline_reset_phones_total{outcome},
// trustline_resets_running.
class ResetRunner {
 public:
  // Statements of `slow_pool` may take minutes.
  ResetRunner(ResetRunnerOptions options, const ResetHooks& hooks, Pool& pool, Pool& slow_pool, const Clock& clock,
              Log& log, Metrics& metrics);
  ~ResetRunner();

  void Start();
  // Kills a hook that runs; its phones are handed over again by the next one.
  void Stop();

  // Both also for tests. A wave of each running reset that is due; what stands in the way of one is logged, and does
  // not stop the others. The second one is due every hour.
  absl::Status AdvanceAll();
  absl::Status ForgetOld();

 private:
  // Answers that are not in the database yet, because it was away.
  struct Unrecorded {
    OpenReset reset;
    std::vector<PhoneAnswer> answers;
    bool is_whole = true;
  };

  void Run();
  absl::Status Advance(const OpenReset& reset);
  absl::Status HandOver(const OpenReset& reset, const ResetWave::Begun& begun);
  absl::Status Record();
  void Tell(const OpenReset& reset, const ResetWave::Ended& ended);
  void TellOutput(const OpenReset& reset, const ResetHook& hook, const HookOutcome& outcome);
  bool IsStopping();

  const ResetRunnerOptions options_;
  const ResetHooks& hooks_;
  Pool& pool_;
  Pool& slow_pool_;
  const Clock& clock_;
  Log& log_;
  Gauge& running_;
  Counter& accepted_;
  Counter& failed_;
  const UniqueFd interrupt_;  // an eventfd: readable once it stops
  std::optional<Unrecorded> unrecorded_;
  std::string told_;  // the last problem that was logged
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace trustline
