#include "provisioning/sip/request_pace.h"

#include <algorithm>

namespace trustline {

bool RequestPace::Admit(const IpAddress& address) {
  const IpAddress prefix = address.HostPrefix();
  const absl::Time now = clock_.Now();
  const std::lock_guard lock(mutex_);
  const auto known = by_prefix_.find(prefix);
  if (known != by_prefix_.end()) {
    buckets_.splice(buckets_.begin(), buckets_, known->second);
  } else {
    if (buckets_.size() >= options_.most_remembered) {
      by_prefix_.erase(buckets_.back().prefix);
      buckets_.pop_back();
    }
    buckets_.push_front({.prefix = prefix, .tokens = options_.burst, .filled_at = now});
    by_prefix_.emplace(prefix, buckets_.begin());
  }

  Bucket& bucket = buckets_.front();
  // The wall clock may be set back: nothing is gained then, nor lost.
  const double seconds = std::max(0.0, absl::ToDoubleSeconds(now - bucket.filled_at));
  bucket.tokens = std::min(options_.burst, bucket.tokens + seconds * options_.per_second);
  bucket.filled_at = now;
  if (bucket.tokens < 1) return false;
  bucket.tokens -= 1;
  return true;
}

size_t RequestPace::remembered() const {
  const std::lock_guard lock(mutex_);
  return buckets_.size();
}

}  // namespace trustline
