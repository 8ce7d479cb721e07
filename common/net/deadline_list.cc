#include "common/net/deadline_list.h"

#include <algorithm>

namespace trustline {

void DeadlineList::Restart(DeadlineEntry& entry) {
  entry.unlink();
  entry.due_ = std::chrono::steady_clock::now() + duration_;
  entries_.push_back(entry);
  // A timer that runs already fires no later than this entry is due: it was set for an earlier one.
  if (!armed_ && !stopped_) Arm(entry.due_);
}

void DeadlineList::Stop() {
  stopped_ = true;
  timer_.cancel();
}

void DeadlineList::Arm(std::chrono::steady_clock::time_point due) {
  armed_ = true;
  timer_.expires_at(due);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) OnTimer();
  });
}

void DeadlineList::OnTimer() {
  if (stopped_) return;
  const auto now = std::chrono::steady_clock::now();
  for (int turn = 0; turn < kExpiriesPerTurn && !entries_.empty() && entries_.front().due_ <= now; ++turn) {
    DeadlineEntry& entry = entries_.front();
    entries_.pop_front();
    entry.OnDeadline();
  }
  armed_ = false;
  if (!entries_.empty()) Arm(std::max(entries_.front().due_, now + kExpiryPause));
}

}  // namespace trustline
