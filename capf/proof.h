// The proof by an existing certificate: that whoever speaks has the certificate's private key (docs/PROTOCOLS.md,
// "CAPF", proof by an existing certificate). Nothing here says whether the certificate is good for anything.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "capf/message.h"
#include "common/x509/certificate.h"

namespace trustline {

struct ProvedCertificate {
  Certificate certificate;
  CapfCertificateType type = CapfCertificateType::kLsc;  // as the phone said
  // The certificate whose key signed over this very session; absent: the proof could have been recorded and repeated.
  std::optional<Certificate> session_certificate;
};

// Checks an authentication response that has a certificate: signed data and SHA-2 signed data (both must be there, and
// both must verify) over device name, NUL, certificate; and SUDI data, when there is any, over this session's id and
// its certificate. RSA signatures are PKCS#1 type 1 padding over the bare hash, compared whole; EC ones plain ECDSA.
// PermissionDenied with the reason when a signature is missing or does not verify; InvalidArgument when a certificate
// cannot be read or has a key of another kind.
absl::StatusOr<ProvedCertificate> CheckPossession(const CapfElements& response, uint32_t session_id);

// The device that a certificate's subject names: CN "SEP001122334455", or "CP-8841-SEP001122334455" as manufacturers
// write it. InvalidArgument for any other CN.
absl::StatusOr<std::string> DeviceNamedBy(const Certificate& certificate);

}  // namespace trustline
