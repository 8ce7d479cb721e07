#include "common/postgres/socket_wait.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

#include "common/status/status.h"

namespace trustline {

WaitDeadline WaitDeadline::After(absl::Duration duration) {
  using Clock = std::chrono::steady_clock;
  // Beyond a year is no limit; this also keeps the sum from overflowing.
  if (duration > absl::Hours(24 * 365)) return WaitDeadline(Clock::time_point::max());
  return WaitDeadline(Clock::now() + absl::ToChronoNanoseconds(std::max(duration, absl::ZeroDuration())));
}

int WaitDeadline::PollTimeout() const {
  if (at_ == std::chrono::steady_clock::time_point::max()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(at_ - std::chrono::steady_clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, std::numeric_limits<int>::max()));
}

absl::Status WaitForSocket(int fd, short events, const WaitDeadline& deadline, const Interrupt* interrupt) {
  pollfd fds[2] = {{.fd = fd, .events = events, .revents = 0},
                   {.fd = interrupt == nullptr ? -1 : interrupt->fd(), .events = POLLIN, .revents = 0}};
  while (true) {
    const int timeout = deadline.PollTimeout();
    const int ready = poll(fds, 2, timeout);
    if (ready < 0 && errno != EINTR) return Internal("poll: {}", std::strerror(errno));
    if (ready > 0) {
      if (fds[1].revents != 0) return absl::CancelledError("interrupted while waiting for PostgreSQL");
      return absl::OkStatus();
    }
    if (ready == 0 && deadline.PollTimeout() == 0) return DeadlineExceeded("PostgreSQL did not answer in time");
  }
}

}  // namespace trustline
