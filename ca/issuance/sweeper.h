// Resolves what a crash left: every open intent is finished or abandoned.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/issuance/issuer.h"
#include "common/postgres/pool.h"
#include "common/service/log.h"
#include "common/service/metrics.h"

namespace trustline {

struct SweeperOptions {
  std::string actor;  // identity URI, for the audit log
  absl::Duration interval = absl::Seconds(1);
  // So long an intent belongs to the request that made it, which may be another cad's.
  absl::Duration grace = absl::Seconds(1);
  // An intent that cannot be finished for so long (its authority's key is on no cad, the store step fails) is given up.
  absl::Duration patience = absl::Minutes(1);
};

// A thread of its own. Several cad may sweep the same intents: the database lets one of them store. The references must
// outlive it.
class Sweeper {
 public:
  Sweeper(SweeperOptions options, Issuer& issuer, Pool& pool, Log& log, Metrics& metrics);
  ~Sweeper();

  void Start();
  void Stop();

  // One pass over the intents that are older than `grace`; returns how many were resolved. Thread-safe.
  absl::StatusOr<int> Sweep(absl::Duration grace);

 private:
  void Run();
  bool Resolve(int32_t cluster_id, int64_t issuance_id, bool is_old);

  const SweeperOptions options_;
  Issuer& issuer_;
  Pool& pool_;
  Log& log_;
  Counter& finished_;
  Counter& abandoned_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace trustline
