// What the trust store holds, as its reader and its writers hand it out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/bytes/sha256.h"
#include "common/device/certificate_role.h"

namespace trustline {

inline constexpr absl::Duration kDefaultTtl = absl::Hours(24);
inline constexpr absl::Duration kLongestTtl = absl::Hours(24 * 30);

// InvalidArgument unless `ttl` is whole seconds, from one second to 30 days.
absl::Status CheckTtl(absl::Duration ttl);

// What a certificate is trusted for: a role, or nothing but being an anchor.
using TrustRole = std::optional<CertificateRole>;

// The code of column trust_entry.role: the role's own, or -1 for an anchor without a role.
int64_t TrustRoleCode(TrustRole role);
absl::StatusOr<TrustRole> TrustRoleFromCode(int64_t code);
// "APP-SERVER", or "anchor without a role".
std::string_view TrustRoleName(TrustRole role);

struct TrustEntry {
  TrustRole role;
  absl::Duration ttl;
  bool anchor = false;  // certificates that it issued are valid too
  bool listed = false;  // also stands in the cluster's trust lists, unless it was removed; only with a role
  std::string origin;   // "import", "system", "node"
  std::string added_by;
  absl::Time added_at;
  std::optional<std::string> removed_by;
  std::optional<absl::Time> removed_at;
};

struct TrustedCertificate {
  Sha256Digest sha256;
  std::string subject;
  std::string issuer;
  std::string serial;  // big-endian bytes without leading zeros
  absl::Time not_before;
  absl::Time not_after;
  std::string public_key;  // "RSA 2048"
  bool is_ca = false;
  std::vector<TrustEntry> entries;  // by role
};

struct TrustedCrl {
  Sha256Digest sha256;
  std::string issuer;
  std::string number;  // decimal; empty when the CRL has none
  absl::Time this_update;
  std::optional<absl::Time> next_update;
  int64_t revoked = 0;
  std::string added_by;
  absl::Time added_at;
};

// The cluster that is changed, and by whom.
struct TrustStoreCaller {
  int32_t cluster_id;
  std::string cluster;
  std::string actor;  // identity URI
};

}  // namespace trustline
