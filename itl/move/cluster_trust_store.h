// A cluster's trust in the database: read for an export, taken in, taken back.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/bytes/sha256.h"
#include "common/device/certificate_role.h"
#include "common/postgres/connection.h"
#include "itl/move/cluster_trust.h"
#include "itl/trust_store/trust_entry.h"

namespace trustline {

// ITLRecovery and the CallManager certificates, also those that overlap; the listed TVS certificates; the current
// lists. FailedPrecondition, with the next step, when a TFTP server has no list, or one that is signed with another
// key.
absl::StatusOr<ClusterTrust> ReadClusterTrust(Connection& connection, int32_t cluster_id, const std::string& cluster);

// FailedPrecondition when it is this cluster's own export, of now or of before: nothing could move by it.
absl::Status CheckIsOther(Connection& connection, int32_t cluster_id, const std::string& cluster,
                          const ClusterTrust& trust);

// Entries of a trust store: a certificate in a role.
using TrustedRoles = std::set<std::pair<Sha256Digest, CertificateRole>>;

// Which of a file's are trusted now.
absl::StatusOr<TrustedRoles> FindTrusted(Connection& connection, int32_t cluster_id, const ClusterTrust& trust);

struct MoveImport {
  int64_t added = 0;  // entries
  int64_t unchanged = 0;
  std::vector<std::string> warnings;
};
// All of it becomes trusted, and stands in no list; what is trusted already stays as it is. In a transaction of the
// caller's; audited (trust.add).
absl::StatusOr<MoveImport> ImportClusterTrust(Connection& transaction, const TrustStoreCaller& caller,
                                              const ClusterTrust& trust, absl::Time now);

// Takes ImportClusterTrust() back, but for `kept`, and for what is listed meanwhile or is itld's own.
absl::Status RemoveClusterTrust(Connection& transaction, const TrustStoreCaller& caller, const ClusterTrust& trust,
                                const TrustedRoles& kept);

}  // namespace trustline
