// Has campaigns go on: wave after wave, within their hours, until nothing is left or too much fails.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "capf/campaign_step.h"
#include "common/postgres/pool.h"
#include "common/service/clock.h"
#include "common/service/log.h"
#include "common/service/metrics.h"

namespace trustline {

struct CampaignRunnerOptions {
  std::string actor;  // identity URI, for operations and the audit log
  absl::Duration interval = absl::Seconds(1);
};

// A thread of its own, for the campaigns of every cluster. Several capfd may run it: the database lets one of them act.
// It keeps nothing: after a restart, or the end of another capfd in the middle of a wave, any goes on. The references
// must outlive it.
class CampaignRunner {
 public:
  CampaignRunner(CampaignRunnerOptions options, Pool& pool, const Clock& clock, Log& log, Metrics& metrics);
  ~CampaignRunner();

  void Start();
  void Stop();

  // One step of each running campaign. What stands in the way of one is logged, and does not stop the others.
  // Thread-safe.
  absl::Status AdvanceAll();

 private:
  void Run();
  void Advance(int32_t cluster_id, int32_t campaign_id);

  const CampaignRunnerOptions options_;
  Pool& pool_;
  const Clock& clock_;
  Log& log_;
  Gauge& running_;
  Counter& waves_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace trustline
