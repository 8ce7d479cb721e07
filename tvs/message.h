// The TVS wire format (docs/PROTOCOLS.md, "TVS"): header, elements, and the four messages.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "common/bytes/bytes.h"
#include "common/device/certificate_role.h"

namespace trustline {

inline constexpr uint8_t kTvsProtocolId = 87;
inline constexpr uint8_t kTvsVersion = 1;
inline constexpr size_t kTvsHeaderSize = 10;

enum class TvsCommand : uint8_t {
  kVerifyRequest = 1,
  kVerifyResponse = 2,
  kQueryRequest = 3,
  kQueryResponse = 4,
};

enum class TvsTag : uint8_t {
  kDeviceName = 1,
  kCertificate = 2,
  kSubjectName = 3,
  kIssuerName = 4,
  kSerialNumber = 5,
  kStatus = 7,
  kRoles = 8,
  kTtl = 9,
};

// Each element's maximum, value only.
inline constexpr size_t kMaxTvsDeviceName = 1 + 64;      // 0x01 and the text
inline constexpr size_t kMaxTvsCertificate = 16 * 1024;  // kMaxCertificateSize of common/x509/certificate.h
inline constexpr size_t kMaxTvsName = 1024;
inline constexpr size_t kMaxTvsSerialNumber = 64;  // RFC 5280: 20 octets; some add zero bytes in front
inline constexpr size_t kMaxTvsRoles = 16;

// The longest body that is read from a phone: every element of the larger request at its maximum.
inline constexpr size_t kMaxTvsRequestBody = 3 + kMaxTvsDeviceName + 3 + kMaxTvsCertificate;
static_assert(kMaxTvsRequestBody >= 3 + kMaxTvsDeviceName + 2 * (3 + kMaxTvsName) + 3 + kMaxTvsSerialNumber);

struct TvsHeader {
  TvsCommand command;
  uint32_t session_id = 0;
  uint16_t body_length = 0;
};

// Reads the first kTvsHeaderSize bytes. Byte 3 is ignored: phones were seen to send garbage there. InvalidArgument for
// another protocol id, version or command.
absl::StatusOr<TvsHeader> DecodeTvsHeader(ByteView bytes);

// "Is this certificate good?" Views borrow from the body that was decoded.
struct TvsVerifyRequest {
  std::string_view device_name;  // "CP-8841-SEP001122334455"; empty when the phone gave none
  ByteView certificate;          // DER, not looked into
};

// "Whose signature is this?"
struct TvsQueryRequest {
  std::string_view device_name;
  std::string_view subject;  // as the phone wrote it, without its NUL
  std::string_view issuer;
  ByteView serial_number;  // without leading zero bytes
};

using TvsRequest = std::variant<TvsVerifyRequest, TvsQueryRequest>;

// Decodes a request's body; nothing may be left over, and each element stands at most once, in any order.
// InvalidArgument names what is wrong.
absl::StatusOr<TvsRequest> DecodeTvsRequest(TvsCommand command, ByteView body);

// What a response says. An invalid verdict is the status element alone.
struct TvsResponse {
  bool valid = false;
  std::string certificate;             // DER; query responses only
  std::vector<CertificateRole> roles;  // ascending by code
  uint32_t ttl_seconds = 0;
};

// The whole message, header and body, in one piece.
std::string EncodeTvsVerifyResponse(uint32_t session_id, const TvsResponse& response);
// InvalidArgument when the certificate does not fit into the message.
absl::StatusOr<std::string> EncodeTvsQueryResponse(uint32_t session_id, const TvsResponse& response);

// A phone's side. Encoding refuses values over their maximum.
absl::StatusOr<std::string> EncodeTvsVerifyRequest(uint32_t session_id, std::string_view device_name,
                                                   ByteView certificate);
absl::StatusOr<std::string> EncodeTvsQueryRequest(uint32_t session_id, std::string_view device_name,
                                                  std::string_view subject, std::string_view issuer,
                                                  ByteView serial_number);
absl::StatusOr<TvsResponse> DecodeTvsResponse(TvsCommand command, ByteView body);

}  // namespace trustline
