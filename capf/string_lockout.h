// Wrong authentication strings of a device from an address (table capf_lockout): too many of them lock the pair.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/postgres/connection.h"

namespace trustline {

inline constexpr int kMostWrongStringsOfPair = 5;
// So long a lock lasts, and so long wrong strings are remembered after the last of them.
inline constexpr absl::Duration kLockTime = absl::Minutes(15);

// Works inside a transaction that the caller owns and commits, and in which it has locked the device's operation.
class StringLockout {
 public:
  // Of an IPv6 address the network of 64 bits counts: a host has all of it.
  StringLockout(Connection& transaction, int32_t cluster_id, std::string_view device, std::string_view address);

  absl::StatusOr<bool> IsLocked(absl::Time now);

  // Returns whether the pair is locked from now on.
  absl::StatusOr<bool> CountWrong(absl::Time now);

 private:
  Connection& connection_;
  const int32_t cluster_id_;
  const std::string device_;
  const std::string address_;
};

}  // namespace trustline
