// Debian's SIPp, which plays a scenario of tests/integration/sipp/ as many phones.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace trustline {

struct SippRun {
  std::string scenario;   // name of the file
  std::string transport;  // "u1": UDP; "t1": one TCP connection
  uint16_t port = 0;      // of 127.0.0.1
  std::string calls;      // a line for each call: "DEVICE;HASH", used in their order
  int64_t count = 1;      // of calls
  int64_t per_second = 50;
  std::vector<std::string> more;  // options
};

// As SIPp counts.
struct SippCounts {
  int64_t successful = 0;
  int64_t failed = 0;           // of whatever reason: time-outs, unexpected answers
  int64_t retransmissions = 0;  // of requests
  int64_t unexpected = 0;       // messages outside a call, or of one that is over
  double calls_per_second = 0;  // as they were begun
};

// Plays it to its end. Internal when a call failed, with what SIPp wrote of the errors.
absl::StatusOr<SippCounts> RunSipp(const SippRun& run);

}  // namespace trustline
