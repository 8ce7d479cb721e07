// Recorded exchanges of tests/vectors/wire: lines `C>S <hex>` and `S>C <hex>`.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace trustline {

// What each side sent in all, the lines of one direction joined.
struct WireExchange {
  std::string from_phone;
  std::string from_server;
};

// Reads tests/vectors/wire/`name`.
absl::StatusOr<WireExchange> ReadWireExchange(const std::string& name);

}  // namespace trustline
