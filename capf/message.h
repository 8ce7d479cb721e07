// The CAPF wire format (docs/PROTOCOLS.md, "CAPF"): header, elements, and the messages of both sides.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/bytes/bytes.h"
#include "common/bytes/secret_bytes.h"

namespace trustline {

inline constexpr uint16_t kCapfPort = 3804;
inline constexpr uint8_t kCapfProtocolId = 85;
inline constexpr uint8_t kCapfVersion = 3;
inline constexpr size_t kCapfHeaderSize = 8;

// The numbers between are reserved for messages that no observed phone uses.
enum class CapfCommand : uint8_t {
  kAuthenticationRequest = 1,
  kAuthenticationResponse = 2,
  kKeyGenerateRequest = 3,
  kKeyGenerateResponse = 4,
  kStoreCertificateRequest = 9,
  kStoreCertificateResponse = 10,
  kFetchCertificateRequest = 11,
  kFetchCertificateResponse = 12,
  kDeleteCertificateRequest = 13,
  kDeleteCertificateResponse = 14,
  kEndSession = 15,
  kRetryLater = 16,
  kRequestInProgress = 17,
};
// "authentication request"
std::string_view CapfCommandName(CapfCommand command);

enum class CapfTag : uint8_t {
  kReason = 1,
  kReasonInformation = 2,
  kCertificateType = 3,
  kCertificate = 4,
  kCertificateId = 5,
  kSignedData = 6,
  kVersion = 7,
  kAuthenticationType = 8,
  kPublicKey = 9,
  kKeySize = 10,
  kPassword = 11,
  kRetryDelay = 12,
  kDeviceName = 13,
  kSudiData = 16,
  kKeyType = 17,
  kCurve = 18,
  kDigestType = 19,
  kSha2SignedData = 20,
};

// Values that others than these may stand in for: a peer's reason is kept as it came.
enum class CapfReason : uint8_t {
  kNoAction = 0,
  kSuccess = 1,
  kInvalidElement = 7,  // also: the proof is wrong
  kUnknownDevice = 9,
};

enum class CapfCertificateType : uint8_t { kLsc = 1, kMic = 2 };
enum class CapfKeyType : uint8_t { kRsa = 0, kEc = 1 };
enum class CapfCurve : uint8_t { kSecp256r1 = 0, kSecp384r1 = 1, kSecp521r1 = 2 };
enum class CapfDigest : uint8_t { kSha1 = 1, kSha512 = 3 };

// Each element's maximum, value only.
inline constexpr size_t kMaxCapfReasonInformation = 1024;
inline constexpr size_t kMaxCapfCertificate = 5 + 16 * 1024;  // wrapping, kMaxCertificateSize of common/x509
inline constexpr size_t kMaxCapfSignature = 1024;             // RSA 8192
inline constexpr size_t kMaxCapfPublicKey = 4096;             // kMaxPublicKeyInfoSize of common/x509
inline constexpr size_t kMaxCapfPassword = 64;                // phones type at most 15 digits
inline constexpr size_t kMaxCapfDeviceName = 64;
inline constexpr size_t kMaxCapfSudiData = 3 + 16 * 1024 + 2 * (3 + kMaxCapfSignature);

// The longest body that is read: an authentication response with every proof at its maximum.
inline constexpr size_t kMaxCapfBody =
    3 + kMaxCapfCertificate + 3 + kMaxCapfSudiData + 3 + kMaxCapfSignature + 3 + 3 + kMaxCapfSignature + 2048;
static_assert(kMaxCapfBody <= 65'535);

struct CapfHeader {
  CapfCommand command = CapfCommand::kEndSession;
  uint32_t session_id = 0;  // chosen by the server, the same in every message of a session
  uint16_t body_length = 0;
};

// Reads the first kCapfHeaderSize bytes. InvalidArgument for another protocol id, a command that is none of
// CapfCommand, or a body over kMaxCapfBody.
absl::StatusOr<CapfHeader> DecodeCapfHeader(ByteView bytes);

// An element 4: 5 bytes of wrapping, then the certificate.
struct CapfCertificate {
  CapfCertificateType type = CapfCertificateType::kLsc;
  std::string der;  // not looked into

  bool operator==(const CapfCertificate&) const = default;
};

// An element 20: the hash algorithm and a signature.
struct CapfSignature {
  CapfDigest digest = CapfDigest::kSha512;
  std::string signature;

  bool operator==(const CapfSignature&) const = default;
};

// An element 16: a certificate and two signatures that cover the session.
struct CapfSudiData {
  std::string certificate;  // DER, not looked into
  std::string sha1_signature;
  std::string sha512_signature;

  bool operator==(const CapfSudiData&) const = default;
};

// The elements of a message, those that it has. Move-only, because one is a secret.
struct CapfElements {
  std::optional<uint8_t> reason;                  // CapfReason, or what else a peer gave
  std::optional<std::string> reason_information;  // printable ASCII, with '?' in place of what is not
  std::optional<CapfCertificateType> certificate_type;
  std::optional<CapfCertificate> certificate;
  std::optional<std::string> signed_data;
  std::optional<uint8_t> version;              // kCapfVersion
  std::optional<uint8_t> authentication_type;  // 0 to 4
  std::optional<std::string> public_key;       // SubjectPublicKeyInfo, DER, not looked into
  std::optional<uint16_t> key_size;            // bits
  std::optional<SecretBytes> password;         // without its NUL; printable
  std::optional<uint32_t> retry_delay;         // seconds
  std::optional<std::string> device_name;      // without its NUL; letters, digits, '-', '_' and '.'
  std::optional<CapfSudiData> sudi_data;
  std::optional<CapfKeyType> key_type;
  std::optional<CapfCurve> curve;
  std::optional<CapfSignature> sha2_signed_data;
};

// Decodes a body; nothing may be left over, each element stands at most once, in any order, within its limits, and must
// be one that the message may have; what the message must have is there:
//   authentication request: version, authentication type; response: reason, version, device name
//   key generate request: key type with key size (RSA) or curve (EC); response: public key or reason
//   store certificate request: certificate type and certificate, of the same type; responses, end session: reason
//   fetch and delete request, request in progress: nothing; retry later: retry delay
// Elements 5 and 19, of which no use is known, are read and dropped beside a certificate or a signature.
// InvalidArgument names message and element.
absl::StatusOr<CapfElements> DecodeCapfBody(CapfCommand command, ByteView body);

// Header and body as they go out in one write, the elements in ascending order of their tags. InvalidArgument for
// elements over their limits or that the message does not have.
absl::StatusOr<std::string> EncodeCapfMessage(CapfCommand command, uint32_t session_id, const CapfElements& elements);

}  // namespace trustline
