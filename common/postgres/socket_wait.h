// Waiting for libpq's socket with a deadline and an interrupt.
#pragma once

#include <chrono>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/postgres/interrupt.h"

namespace trustline {

// A point of the monotonic clock, so that a stepped wall clock neither ends nor prolongs a wait.
class WaitDeadline {
 public:
  static WaitDeadline After(absl::Duration duration);
  // Milliseconds for poll(2), rounded up; -1 without a limit.
  int PollTimeout() const;

 private:
  explicit WaitDeadline(std::chrono::steady_clock::time_point at) : at_(at) {}
  std::chrono::steady_clock::time_point at_;
};

// Until `fd` has one of poll(2)'s `events`: OK; DeadlineExceeded when the deadline passed, Cancelled when `interrupt`
// (may be null) was raised.
absl::Status WaitForSocket(int fd, short events, const WaitDeadline& deadline, const Interrupt* interrupt);

}  // namespace trustline
