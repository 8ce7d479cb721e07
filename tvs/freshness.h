// When a node may still speak, and how (docs/ARCHITECTURE.md, "Outage").
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace trustline {

struct FreshnessPolicy {
  // A node that has not confirmed its snapshot for longer answers nothing.
  std::chrono::nanoseconds age_limit = std::chrono::hours(1);
  // Several polls missed: the database counts as away.
  std::chrono::nanoseconds away_after = std::chrono::seconds(2);
};

enum class Freshness : uint8_t {
  kFresh,  // every verdict may be given
  kAway,   // known certificates are answered; to an unknown one the node stays silent
  kStale,  // nothing is answered
};

inline Freshness FreshnessOf(std::chrono::nanoseconds age, const FreshnessPolicy& policy) {
  if (age > policy.age_limit) return Freshness::kStale;
  return age > policy.away_after ? Freshness::kAway : Freshness::kFresh;
}

// A TTL given while the database is away does not outlive the age limit.
inline uint32_t TtlAtAge(uint32_t ttl_seconds, std::chrono::nanoseconds age, const FreshnessPolicy& policy) {
  if (FreshnessOf(age, policy) == Freshness::kFresh) return ttl_seconds;
  const auto left = std::chrono::duration_cast<std::chrono::seconds>(policy.age_limit - age).count();
  return static_cast<uint32_t>(std::clamp<int64_t>(left, 0, ttl_seconds));
}

}  // namespace trustline
