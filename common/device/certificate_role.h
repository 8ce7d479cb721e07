// The roles of a certificate in a trust store or trust list, with the codes of the wire (docs/PROTOCOLS.md, TVS).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace trustline {

enum class CertificateRole : uint8_t {
  kSast = 0,
  kCcm = 1,
  kCcmTftp = 2,
  kTftp = 3,
  kCapf = 4,
  kAppServer = 7,
  kTvs = 21,
};

// All roles, ascending by code.
inline constexpr std::array<CertificateRole, 7> kAllCertificateRoles = {
    CertificateRole::kSast, CertificateRole::kCcm,       CertificateRole::kCcmTftp, CertificateRole::kTftp,
    CertificateRole::kCapf, CertificateRole::kAppServer, CertificateRole::kTvs};

// "SAST", "CCM", "CCM+TFTP", "TFTP", "CAPF", "APP-SERVER", "TVS".
std::string_view CertificateRoleName(CertificateRole role);

// Accepts the names in any case; the error lists them.
absl::StatusOr<CertificateRole> ParseCertificateRole(std::string_view name);

// Empty for a code that no role has.
std::optional<CertificateRole> CertificateRoleFromCode(int code);

}  // namespace trustline
