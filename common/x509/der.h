// Distinguished Encoding Rules (X.690, section 10) of structures as X.509 uses them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/bytes/bytes.h"

namespace trustline {

// InvalidArgument unless `bytes` are exactly one value in DER: definite and shortest lengths, strings in one piece,
// shortest integers, booleans of 00 or FF. Looks into constructed values, not into octet strings; defaults that are
// written out are let pass, as many issuers write them. OpenSSL's parser alone accepts BER.
absl::Status CheckDer(ByteView bytes);

// Identifier octets (X.690, section 8.1.2).
namespace der {
inline constexpr uint8_t kBoolean = 0x01;
inline constexpr uint8_t kInteger = 0x02;
inline constexpr uint8_t kBitString = 0x03;
inline constexpr uint8_t kOctetString = 0x04;
inline constexpr uint8_t kObjectIdentifier = 0x06;
inline constexpr uint8_t kUtf8String = 0x0c;
inline constexpr uint8_t kSequence = 0x30;
inline constexpr uint8_t kSet = 0x31;
inline constexpr uint8_t kPrintableString = 0x13;
inline constexpr uint8_t kUtcTime = 0x17;
inline constexpr uint8_t kGeneralizedTime = 0x18;
// Context-specific tags up to 30.
constexpr uint8_t Context(uint8_t tag, bool constructed) {
  return static_cast<uint8_t>(0x80 | (constructed ? 0x20 : 0) | tag);
}
}  // namespace der

// Walks over values that follow each other. Does not own the bytes. All errors are InvalidArgument and name the field.
class DerReader {
 public:
  DerReader(std::string_view structure, ByteView bytes) : structure_(structure), rest_(bytes) {}

  // The content of the next value, which must have this identifier octet.
  absl::StatusOr<ByteView> Read(std::string_view field, uint8_t identifier);
  // The next value with its identifier and length.
  absl::StatusOr<ByteView> ReadWhole(std::string_view field, uint8_t identifier);

  bool NextIs(uint8_t identifier) const { return !rest_.empty() && rest_.front() == identifier; }
  bool empty() const { return rest_.empty(); }
  // Error unless everything was read.
  absl::Status AssertDone() const;

 private:
  std::string_view structure_;
  ByteView rest_;
};

// One value.
std::string EncodeDer(uint8_t identifier, ByteView content);

}  // namespace trustline
