// How many enrolments a process may begin in a second.
#pragma once

#include <algorithm>
#include <mutex>

#include "absl/time/time.h"

namespace trustline {

// Lets `per_second` through in a second, and at least one, as many at once after a quiet second. Thread-safe.
class EnrolmentRate {
 public:
  EnrolmentRate(double per_second, absl::Time now)
      : per_second_(per_second), most_(std::max(1.0, per_second)), left_(most_), last_(now) {}

  bool Admits(absl::Time now) {
    const std::lock_guard lock(mutex_);
    // A clock that was set back gives nothing.
    const double seconds = std::max(0.0, absl::ToDoubleSeconds(now - last_));
    last_ = now;
    left_ = std::min(most_, left_ + seconds * per_second_);
    if (left_ < 1) return false;
    left_ -= 1;
    return true;
  }

 private:
  const double per_second_;
  const double most_;
  std::mutex mutex_;
  double left_;
  absl::Time last_;
};

}  // namespace trustline
