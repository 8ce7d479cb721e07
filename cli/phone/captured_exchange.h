// Captures from the wire, and exchanges with a TVS among them, played again.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/phone/endpoint.h"
#include "common/net/tls_client.h"

namespace trustline {

// What one side sent before the other one spoke.
struct CapturedBytes {
  bool from_phone = false;
  std::string bytes;
  size_t line = 0;  // the first one of the file that has them
};

// Lines "C>S <hex>" and "S>C <hex>", comments after '#', empty lines. Neighbouring lines of one direction belong
// together: a line is what one read of the recorder gave. InvalidArgument names the line.
absl::StatusOr<std::vector<CapturedBytes>> ParseCapture(std::string_view text);

// What the phone sent and what the server answered to it.
struct CapturedTurn {
  std::string from_phone;
  std::string from_server;
};

// A capture of TVS, in which the phone speaks first and each of its messages is answered. InvalidArgument for any
// other.
absl::StatusOr<std::vector<CapturedTurn>> ParseCapturedExchange(std::string_view text);

// Sends each turn's bytes over one connection and compares the answers. DataLoss shows the first byte that differs.
absl::Status ReplayTvsExchange(const Endpoint& server, const TlsClientOptions& tls,
                               const std::vector<CapturedTurn>& turns, bool one_byte_at_a_time);

// OK when both are the same; otherwise DataLoss with the position of the first difference and what stands there.
absl::Status CompareWithCapture(std::string_view recorded, std::string_view received);

}  // namespace trustline
