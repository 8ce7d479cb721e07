#include "common/device/certificate_role.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "common/status/status.h"

namespace trustline {

std::string_view CertificateRoleName(CertificateRole role) {
  switch (role) {
    case CertificateRole::kSast:
      return "SAST";
    case CertificateRole::kCcm:
      return "CCM";
    case CertificateRole::kCcmTftp:
      return "CCM+TFTP";
    case CertificateRole::kTftp:
      return "TFTP";
    case CertificateRole::kCapf:
      return "CAPF";
    case CertificateRole::kAppServer:
      return "APP-SERVER";
    case CertificateRole::kTvs:
      return "TVS";
  }
  return "unknown";
}

absl::StatusOr<CertificateRole> ParseCertificateRole(std::string_view name) {
  for (CertificateRole role : kAllCertificateRoles) {
    if (std::ranges::equal(name, CertificateRoleName(role), {}, absl::ascii_toupper)) return role;
  }
  return InvalidArgument("unknown role '{}'; the roles are SAST, CCM, CCM+TFTP, TFTP, CAPF, APP-SERVER, TVS", name);
}

std::optional<CertificateRole> CertificateRoleFromCode(int code) {
  for (CertificateRole role : kAllCertificateRoles) {
    if (static_cast<int>(role) == code) return role;
  }
  return std::nullopt;
}

}  // namespace trustline
