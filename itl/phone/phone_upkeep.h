// What has to happen to the record of phones as time goes by: totals, the curve of adoption, months, old claims.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/postgres/connection.h"
#include "common/postgres/pool.h"
#include "common/service/clock.h"
#include "common/service/log.h"
#include "common/service/metrics.h"

namespace trustline {

struct PhoneUpkeepOptions {
  absl::Duration interval = absl::Seconds(1);           // of totals
  absl::Duration adoption_interval = absl::Minutes(5);  // between two points of a holding's curve
  absl::Duration history = absl::Hours(24 * 400);       // how long what happened is kept
};

// Thread-safe; a thread of its own. Several itld on one database do no harm. The references must outlive it. Metrics:
// trustline_phones{cluster,status}, trustline_phone_claims{cluster}.
class PhoneUpkeep {
 public:
  PhoneUpkeep(const PhoneUpkeepOptions& options, Pool& pool, const Clock& clock, Log& log, Metrics& metrics);
  ~PhoneUpkeep();

  void Start();
  void Stop();

  // Both also for tests. The second one is due every hour.
  absl::Status FoldCounts(absl::Time now);
  absl::Status ForgetOld(absl::Time now);

 private:
  void Run();
  absl::Status PublishMetrics(Connection& connection);

  const PhoneUpkeepOptions options_;
  Pool& pool_;
  const Clock& clock_;
  Log& log_;
  Metrics& metrics_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace trustline
