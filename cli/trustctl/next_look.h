// The time between two looks at something that goes on.
#pragma once

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/trustctl/environment.h"

namespace trustline {

// Waits for the interval; false as soon as the watch is to end: at `until`, after Ctrl-C, or when nobody reads the
// output.
inline bool WaitForNextLook(Environment& environment, absl::Duration interval, absl::Time until) {
  const absl::Time next = absl::Now() + interval;
  while (absl::Now() < next) {
    if (environment.interrupt().requested() || absl::Now() >= until || !environment.out()) return false;
    absl::SleepFor(absl::Milliseconds(50));
  }
  return true;
}

}  // namespace trustline
