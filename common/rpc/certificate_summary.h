// Certificates as they stand in gRPC messages.
#pragma once

#include <optional>

#include "common/device/certificate_role.h"
#include "common/x509/certificate.h"
#include "common/x509/private_key.h"
#include "proto/trust_types.pb.h"

namespace trustline {

v1::CertificateSummary SummaryOf(const Certificate& certificate);

// The codes on gRPC are those of the wire plus one.
inline v1::CertificateRole ToProto(CertificateRole role) {
  return static_cast<v1::CertificateRole>(static_cast<int>(role) + 1);
}
// Empty for CERTIFICATE_ROLE_UNSPECIFIED and for numbers that no role has.
inline std::optional<CertificateRole> FromProto(v1::CertificateRole role) {
  return CertificateRoleFromCode(static_cast<int>(role) - 1);
}

// Empty for CERTIFICATE_KEY_UNSPECIFIED and for numbers that no kind has.
std::optional<KeyKind> FromProto(v1::CertificateKey key);

}  // namespace trustline
