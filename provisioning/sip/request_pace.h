// How many requests an address may send: who floods is refused, and slows nobody else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <mutex>
#include <unordered_map>

#include "absl/hash/hash.h"
#include "absl/time/time.h"
#include "common/net/ip_address.h"
#include "common/service/clock.h"

namespace trustline {

struct RequestPaceOptions {
  double per_second = 50;
  double burst = 200;               // after a pause
  size_t most_remembered = 16'384;  // addresses; the one that was silent for longest is forgotten first
};

// A token bucket for each address (of IPv6: each network of 64 bits). Thread-safe.
class RequestPace {
 public:
  RequestPace(const RequestPaceOptions& options, const Clock& clock) : options_(options), clock_(clock) {}

  // Takes the request into account when it is admitted.
  bool Admit(const IpAddress& address);

  size_t remembered() const;

 private:
  struct Bucket {
    IpAddress prefix;
    double tokens = 0;
    absl::Time filled_at;
  };

  const RequestPaceOptions options_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::list<Bucket> buckets_;  // the one used last comes first
  std::unordered_map<IpAddress, std::list<Bucket>::iterator, absl::Hash<IpAddress>> by_prefix_;
};

}  // namespace trustline
