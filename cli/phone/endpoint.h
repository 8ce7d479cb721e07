// "HOST:PORT" as people write it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace trustline {

inline constexpr uint16_t kTvsPort = 2445;

struct Endpoint {
  std::string host;
  uint16_t port = 0;
};

// "tvs.example:2445", "192.0.2.1", "[2001:db8::1]:2445", "2001:db8::1"; without a port it is `default_port`.
absl::StatusOr<Endpoint> ParseEndpoint(std::string_view text, uint16_t default_port);

}  // namespace trustline
