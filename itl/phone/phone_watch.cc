#include "itl/phone/phone_watch.h"

#include <algorithm>
#include <utility>

namespace trustline {
namespace {

// Some seconds of the greatest rate; about 10 MB.
constexpr size_t kMostKept = 20'000;

}  // namespace

void PhoneWatch::Add(int32_t cluster_id, std::vector<StoredReports::Event> events) {
  if (events.empty()) return;
  {
    const std::lock_guard lock(mutex_);
    for (StoredReports::Event& event : events) events_.push_back({cluster_id, std::move(event)});
    while (events_.size() > kMostKept) {
      events_.pop_front();
      ++first_;
    }
  }
  changed_.notify_all();
}

int64_t PhoneWatch::End() const {
  const std::lock_guard lock(mutex_);
  return first_ + static_cast<int64_t>(events_.size());
}

PhoneWatch::Batch PhoneWatch::WaitFrom(int64_t next, absl::Duration timeout, size_t most) const {
  std::unique_lock lock(mutex_);
  const auto end = [this] { return first_ + static_cast<int64_t>(events_.size()); };
  changed_.wait_for(lock, absl::ToChronoMilliseconds(timeout), [&] { return stopped_ || end() > next; });
  Batch batch{.next = std::max(next, first_), .missed = std::max<int64_t>(0, first_ - next)};
  while (batch.next < end() && batch.events.size() < most) {
    batch.events.push_back(events_[static_cast<size_t>(batch.next - first_)]);
    ++batch.next;
  }
  return batch;
}

bool PhoneWatch::stopped() const {
  const std::lock_guard lock(mutex_);
  return stopped_;
}

void PhoneWatch::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
}

}  // namespace trustline
