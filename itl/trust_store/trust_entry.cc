#include "itl/trust_store/trust_entry.h"

#include "common/status/status.h"

namespace trustline {
namespace {

constexpr int64_t kNoRoleCode = -1;

}  // namespace

absl::Status CheckTtl(absl::Duration ttl) {
  if (ttl < absl::Seconds(1) || ttl > kLongestTtl || ttl != absl::Trunc(ttl, absl::Seconds(1))) {
    return InvalidArgument("a TTL is whole seconds, from 1 second to 30 days");
  }
  return absl::OkStatus();
}

int64_t TrustRoleCode(TrustRole role) { return role ? static_cast<int64_t>(*role) : kNoRoleCode; }

absl::StatusOr<TrustRole> TrustRoleFromCode(int64_t code) {
  if (code == kNoRoleCode) return TrustRole();
  const TrustRole role = code >= 0 && code <= 255 ? CertificateRoleFromCode(static_cast<int>(code)) : std::nullopt;
  if (!role) return Internal("the trust store holds the role code {}, which does not exist", code);
  return role;
}

std::string_view TrustRoleName(TrustRole role) { return role ? CertificateRoleName(*role) : "anchor without a role"; }

}  // namespace trustline
