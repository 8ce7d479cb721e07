// Runs the plans of all clusters.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/service/log.h"
#include "common/service/metrics.h"
#include "itl/plan/plan_engine.h"

namespace trustline {

struct PlanRunnerOptions {
  absl::Duration interval = absl::Seconds(1);
  // Between two looks at a plan that waits: the pre-flight of a million phones takes seconds.
  absl::Duration patience = absl::Seconds(15);
};

// Thread-safe; a thread of its own. Several itld on one database do no harm. The references must outlive it. Metrics:
// trustline_plans_running.
class PlanRunner {
 public:
  PlanRunner(const PlanRunnerOptions& options, PlanEngine& engine, Log& log, Metrics& metrics);
  ~PlanRunner();

  void Start();
  void Stop();
  // Somebody changed a plan: it is looked at now.
  void Wake();

 private:
  void Run();
  // `all`: also those whose time has not come.
  absl::Status LookOnce(bool all);
  bool IsStopping();

  const PlanRunnerOptions options_;
  PlanEngine& engine_;
  Log& log_;
  Metrics& metrics_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  bool woken_ = false;
  std::map<std::pair<int32_t, int32_t>, absl::Time> next_looks_;  // by cluster and plan; of the thread alone
  std::map<std::pair<int32_t, int32_t>, std::string> told_;       // what failed last
  std::thread thread_;
};

}  // namespace trustline
