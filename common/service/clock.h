// The time, injected so that tests decide it.
#pragma once

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace trustline {

// Wall-clock time. Implementations are safe to call from any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() const = 0;
};

class SystemClock final : public Clock {
 public:
  absl::Time Now() const override { return absl::Now(); }
};

}  // namespace trustline
