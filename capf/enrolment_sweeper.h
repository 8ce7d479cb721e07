// Keeps what is scheduled true: what nobody works on any more, what is over, what cad has not been told.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "capf/settlement.h"
#include "common/postgres/pool.h"
#include "common/service/clock.h"
#include "common/service/log.h"
#include "common/service/metrics.h"

namespace trustline {

struct EnrolmentSweeperOptions {
  std::string node;   // of this system: operations of its earlier processes are given back
  std::string actor;  // identity URI, for the audit log
  absl::Duration interval = absl::Seconds(1);
  // So long the session that ended an operation may be telling cad itself.
  absl::Duration grace = absl::Seconds(5);
  // Between passes over what cad has not been told, doubled from one interval on while cad does not take it.
  absl::Duration longest_pause = absl::Minutes(1);
  // Done at the beginning of each pass, before each call of cad in it, and at the end.
  std::function<absl::Status()> also = [] { return absl::OkStatus(); };
};

// What a pass has done.
struct EnrolmentSweep {
  int64_t released = 0;
  int64_t expired = 0;
  int64_t settled = 0;
  int64_t locks_forgotten = 0;

  bool operator==(const EnrolmentSweep&) const = default;
};

// A thread of its own, for all clusters. Several capfd may sweep at once. The references must outlive it. It is made
// before the first session of its process.
class EnrolmentSweeper {
 public:
  EnrolmentSweeper(EnrolmentSweeperOptions options, Pool& pool, Settlement& settlement, const Clock& clock, Log& log,
                   Metrics& metrics);
  ~EnrolmentSweeper() { Stop(); }

  void Start();
  void Stop();

  // One pass, as the thread makes them; not while it runs.
  absl::StatusOr<EnrolmentSweep> Sweep();

 private:
  void Run();
  // Each works in transactions of a bounded number of rows.
  absl::StatusOr<int64_t> ReleaseAbandoned(absl::Time now);
  absl::StatusOr<int64_t> ExpireOverdue(absl::Time now);
  absl::StatusOr<int64_t> ForgetLocks(absl::Time now);
  absl::StatusOr<int64_t> Settle(absl::Time now);
  absl::StatusOr<int64_t> ExpireBatch(Connection& transaction, absl::Time now);

  const EnrolmentSweeperOptions options_;
  Pool& pool_;
  Settlement& settlement_;
  const Clock& clock_;
  Log& log_;
  Counter& released_;
  Counter& expired_;
  Counter& settled_;
  const absl::Time begin_;
  std::optional<std::string> dead_node_;  // the node, until what its earlier processes left is given back

  // The last operation that was looked at: one that cad does not take must not keep the others from it.
  std::pair<int32_t, int64_t> settled_up_to_ = {0, 0};
  absl::Duration pause_ = absl::ZeroDuration();
  absl::Time settle_from_ = absl::InfinitePast();

  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace trustline
