// How long to wait before a child that died is started again.
#pragma once

#include <algorithm>

#include "absl/time/time.h"

namespace trustline {

// 0.2 s, doubled with each death up to 10 s; from the start again after a life of 30 s.
class BackOff {
 public:
  absl::Duration AfterDeath(absl::Duration lived) {
    if (lived >= kGoodLife) next_ = kFirst;
    const absl::Duration wait = next_;
    next_ = std::min(next_ * 2, kLongest);
    return wait;
  }

 private:
  static constexpr absl::Duration kFirst = absl::Milliseconds(200);
  static constexpr absl::Duration kLongest = absl::Seconds(10);
  static constexpr absl::Duration kGoodLife = absl::Seconds(30);
  absl::Duration next_ = kFirst;
};

}  // namespace trustline
