// How many refused attempts to join become audit rows: whoever reaches the port can make them.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace trustline {

inline constexpr int kAuditedRefusalsOfAPeer = 10;  // in a minute
inline constexpr int kAuditedRefusals = 100;        // in a minute, of all

// A peer's address as gRPC names it, without its port: "ipv4:192.0.2.1:40000" becomes "ipv4:192.0.2.1".
std::string_view PeerAddress(std::string_view peer);

// Thread-safe. Its memory does not grow with the number of peers.
class RefusedJoins {
 public:
  // Whether this refusal becomes an audit row: then how many were left out since the last that did.
  std::optional<int64_t> Admit(std::string_view peer, absl::Time now);

 private:
  struct Audited {
    absl::Time at;
    std::string address;
  };
  std::mutex mutex_;
  std::deque<Audited> last_minute_;  // at most kAuditedRefusals
  int64_t left_out_ = 0;
};

}  // namespace trustline
