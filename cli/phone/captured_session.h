// Captured CAPF sessions, played again.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/phone/endpoint.h"
#include "common/net/tls_client.h"
#include "common/x509/private_key.h"

namespace trustline {

// One message, header and body.
struct CapturedMessage {
  bool from_phone = false;
  std::string bytes;
};

// A capture (captured_exchange.h) cut into messages. InvalidArgument, with the line, unless the server has the first
// and the last word, and for what is no message or half of one.
absl::StatusOr<std::vector<CapturedMessage>> ParseCapturedSession(std::string_view text);

// Plays the phone's side, with the session id that the server has chosen. Compared is every byte of the server's but
// the session id, which must stay the same, and the certificate that it issues, which must be one for the recorded
// key in the recorded form. DataLoss shows the first byte that differs.
//
// SUDI data covers the session id, so that recorded ones hold in no other session: with `key`, the key of their
// certificate, they are signed anew.
absl::Status ReplayCapfSession(const Endpoint& server, const TlsClientOptions& tls,
                               const std::vector<CapturedMessage>& messages, bool one_byte_at_a_time,
                               std::shared_ptr<const PrivateKey> key = nullptr);

}  // namespace trustline
