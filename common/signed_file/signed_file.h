// What the reader and the writer of signed files and trust lists both speak of: values only, no bytes
// (docs/PROTOCOLS.md, trust lists).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace trustline {

struct FileVersion {
  uint8_t major = 0;
  uint8_t minor = 0;

  bool operator==(const FileVersion&) const = default;
};

inline constexpr FileVersion kTrustListVersion = {.major = 1, .minor = 2};
inline constexpr FileVersion kSignedFileVersion = {.major = 1, .minor = 0};
inline constexpr FileVersion kEncryptedFileVersion = {.major = 2, .minor = 0};

// Of trust lists only. 1.1 turns on elliptic curves and HTTPS provisioning in the phone.
inline constexpr FileVersion kSignerVersion = {.major = 1, .minor = 0};
inline constexpr FileVersion kSignerVersionWithEc = {.major = 1, .minor = 1};

enum class DigestAlgorithm : uint8_t { kSha1 = 1, kSha512 = 3 };

// How names are written. Phones accept both.
enum class NameForm : uint8_t {
  kComma,   // "CN=a,O=b"; in the header the issuer before the serial number; no DNS names in trust lists unless given
  kVendor,  // "CN=a;O=b"; in the header the serial number before the issuer; a DNS name in every record, maybe empty
};

// An element that the codec does not look into.
struct ExtraTlv {
  uint8_t tag = 0;
  std::string value;

  bool operator==(const ExtraTlv&) const = default;
};

// Limits of both sides, without the final NUL. The lengths on the wire have 16 bits.
inline constexpr size_t kMaxSignedFileName = 1023;
inline constexpr size_t kMaxSignerNameText = 4096;  // DistinguishedName::kMaxTextSize of common/x509
inline constexpr size_t kMaxSignerSerial = 64;      // RFC 5280: 20 octets
// An encrypted file with names of 300 characters has 2 KB.
inline constexpr size_t kMaxSignedFileHeader = 16 * 1024;

}  // namespace trustline
