// Reports as they are stored, for those who watch.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <vector>

#include "absl/time/time.h"
#include "itl/phone/report_store.h"

namespace trustline {

// The newest events of all clusters, bounded. Thread-safe.
class PhoneWatch {
 public:
  struct Event {
    int32_t cluster_id = 0;
    StoredReports::Event what;
  };
  struct Batch {
    std::vector<Event> events;
    int64_t next = 0;    // for the next call
    int64_t missed = 0;  // that came before these and are gone
  };

  void Add(int32_t cluster_id, std::vector<StoredReports::Event> events);

  // Where the next event will be.
  int64_t End() const;
  // Events from `next` on; waits for one until `timeout` is over. At most `most`.
  Batch WaitFrom(int64_t next, absl::Duration timeout, size_t most) const;
  // Nobody waits any more.
  void Stop();
  bool stopped() const;

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::deque<Event> events_;
  int64_t first_ = 0;  // the number of events_.front()
  bool stopped_ = false;
};

}  // namespace trustline
