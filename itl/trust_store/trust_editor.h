// Changes single certificates of a cluster's trust store.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/device/certificate_role.h"
#include "common/postgres/connection.h"
#include "itl/trust_store/fingerprint_prefix.h"
#include "itl/trust_store/trust_entry.h"

namespace trustline {

struct TrustChange {
  std::optional<absl::Duration> ttl;  // of all entries
  std::vector<CertificateRole> add_roles;
  std::vector<CertificateRole> remove_roles;
  std::optional<bool> anchor;  // of all entries
  std::optional<bool> listed;  // of all entries with a role

  bool empty() const { return !ttl && add_roles.empty() && remove_roles.empty() && !anchor && !listed; }
};

struct TrustEdit {
  int64_t commit = 0;  // 0 when nothing changed
  TrustedCertificate certificate;
  std::vector<TrustRole> gone = {};  // roles in which it is trusted, or stands in the lists, no longer
};

// Works inside a transaction that the caller owns and commits; audits what it changes.
class TrustEditor {
 public:
  TrustEditor(Connection& transaction, TrustStoreCaller caller)
      : connection_(transaction), caller_(std::move(caller)) {}

  // An added role takes the TTL, the anchor flag and the listing of the entries that are there. An anchor that loses
  // its last role stays an anchor without a role. InvalidArgument for a change that contradicts itself or would leave
  // no entry, NotFound and FailedPrecondition as TrustStoreReader::Find.
  absl::StatusOr<TrustEdit> Set(const FingerprintPrefix& prefix, const TrustChange& change);

  // Makes those of its live entries with a role listed that `chosen` picks. Commit 0 when they are listed already; when
  // it picks none, the edit's certificate has no entries.
  absl::StatusOr<TrustEdit> ListEntries(const Sha256Digest& sha256,
                                        const std::function<bool(const TrustEntry&)>& chosen);

  // Ends the trust in a certificate: all its entries are kept as removed. Errors as Set. FailedPrecondition, as for
  // Set, for a certificate that signs the cluster's trust lists.
  absl::StatusOr<TrustEdit> Remove(const FingerprintPrefix& prefix);
  // The same for those of its entries that `chosen` picks; commit 0 when there are none.
  absl::StatusOr<TrustEdit> RemoveEntries(const Sha256Digest& sha256,
                                          const std::function<bool(const TrustEntry&)>& chosen);

 private:
  absl::Status WriteEntry(const Sha256Digest& sha256, const TrustEntry& entry, int64_t commit);
  absl::Status RemoveEntry(const Sha256Digest& sha256, TrustRole role, int64_t commit);
  // The entries of a certificate, by role code, so that an anchor without a role (-1) comes first.
  using EntriesByRole = std::map<int64_t, TrustEntry>;
  // Writes and records the difference; commit 0 when there is none.
  absl::StatusOr<TrustEdit> Change(TrustedCertificate certificate, const EntriesByRole& after);
  absl::StatusOr<TrustEdit> RemoveLive(TrustedCertificate certificate);
  // FailedPrecondition when the certificate signs the cluster's trust lists and would lose one of those roles in which
  // TVS must answer for it.
  absl::Status CheckSignsNoList(const TrustedCertificate& certificate, const std::vector<TrustRole>& roles);
  absl::StatusOr<TrustedCertificate> Reload(const Sha256Digest& sha256);

  Connection& connection_;
  TrustStoreCaller caller_;
};

}  // namespace trustline
