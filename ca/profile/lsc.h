// The profile `lsc`: what a Locally Significant Certificate says (docs/PROTOCOLS.md, LSC; RFC 5280).
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/device/device_name.h"
#include "common/x509/certificate.h"

namespace trustline {

inline constexpr absl::Duration kLeastLscLifetime = absl::Hours(24);
inline constexpr absl::Duration kLongestLscLifetime = absl::Hours(24 * 1825);
// RFC 5280, section 4.1.2.2: at most 20 octets. Below 8 they could be guessed.
inline constexpr size_t kLscSerialSize = 16;

// Everything about one LSC that its issuer does not decide.
struct LscContent {
  DeviceName device;
  std::string serial;           // big-endian, without leading zero bytes
  absl::Time not_before;        // whole seconds
  absl::Time not_after;         // the last second
  std::string public_key_info;  // SubjectPublicKeyInfo in DER
  std::string crl_url;          // where the issuer's CRL is
};

// 128 random bits, of which the first is 0 and the second 1, so that every serial number has the same size.
absl::StatusOr<std::string> NewSerial();

// The validity of a certificate that begins now: `lifetime` long, but never past its issuer. InvalidArgument for a
// lifetime outside of the bounds above; FailedPrecondition when the issuer ends within a day.
struct Validity {
  absl::Time not_before;
  absl::Time not_after;
};
absl::StatusOr<Validity> LscValidity(absl::Duration lifetime, const Certificate& issuer, absl::Time now);

// The DER of the TBSCertificate (RFC 5280, section 4.1) that `issuer` is to sign.
absl::StatusOr<std::string> EncodeLscToBeSigned(const LscContent& content, const Certificate& issuer);

// The subject as such a certificate has it: "CN=SEP001122334455,O=...".
std::string LscSubjectText(const DeviceName& device, const Certificate& issuer);

// The bytes of a certificate that its signature covers.
absl::StatusOr<std::string> ToBeSignedOf(const Certificate& certificate);

// The certificate of signed bytes: TBSCertificate, the algorithm that it names, and the signature.
absl::StatusOr<Certificate> AssembleCertificate(ByteView to_be_signed, ByteView signature);

}  // namespace trustline
