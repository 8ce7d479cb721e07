// A clock that stands still until a test moves it.
#pragma once

#include <mutex>

#include "absl/time/time.h"
#include "common/service/clock.h"

namespace trustline {

// Thread-safe.
class FakeClock final : public Clock {
 public:
  explicit FakeClock(absl::Time now) : now_(now) {}

  absl::Time Now() const override {
    const std::lock_guard lock(mutex_);
    return now_;
  }
  void Set(absl::Time now) {
    const std::lock_guard lock(mutex_);
    now_ = now;
  }
  void Advance(absl::Duration duration) {
    const std::lock_guard lock(mutex_);
    now_ += duration;
  }

 private:
  mutable std::mutex mutex_;
  absl::Time now_;
};

}  // namespace trustline
