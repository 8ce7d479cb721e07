// Reads the trust store of one cluster for administrators.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/bytes/sha256.h"
#include "common/device/certificate_role.h"
#include "common/postgres/connection.h"
#include "itl/trust_store/fingerprint_prefix.h"
#include "itl/trust_store/trust_entry.h"

namespace trustline {

struct TrustFilter {
  std::vector<CertificateRole> roles;  // empty: any, and anchors without a role
  bool include_removed = false;
  std::optional<FingerprintPrefix> prefix;
};

struct TrustPage {
  std::vector<TrustedCertificate> certificates;
  std::optional<Sha256Digest> last;  // where the next page begins; empty after the last page
};

struct ExportedCertificate {
  Sha256Digest sha256;
  std::string der;
};

// Borrows the connection. Several calls see one state of the store only inside a repeatable-read transaction.
class TrustStoreReader {
 public:
  TrustStoreReader(Connection& connection, int64_t cluster_id) : connection_(connection), cluster_id_(cluster_id) {}

  // Up to `limit` certificates in the order of their SHA-256, from the one behind `after`.
  absl::StatusOr<TrustPage> List(const TrustFilter& filter, const std::optional<Sha256Digest>& after, int64_t limit);

  // The one trusted certificate whose fingerprint begins so, or one that was removed when none is trusted and
  // `include_removed`. NotFound; FailedPrecondition, with up to five matches, for several.
  absl::StatusOr<TrustedCertificate> Find(const FingerprintPrefix& prefix, bool include_removed);

  // Those of `fingerprints` that the store knows, with their entries.
  absl::StatusOr<std::vector<TrustedCertificate>> Load(std::span<const Sha256Digest> fingerprints,
                                                       bool include_removed);

  absl::StatusOr<std::string> Der(const Sha256Digest& sha256);

  // Up to `limit` trusted certificates in the order of their SHA-256.
  absl::StatusOr<std::vector<ExportedCertificate>> Export(const std::vector<CertificateRole>& roles,
                                                          const std::optional<Sha256Digest>& after, int64_t limit);

  absl::StatusOr<std::vector<TrustedCrl>> ListCrls();
  // Errors as Find's.
  absl::StatusOr<TrustedCrl> FindCrl(const FingerprintPrefix& prefix);

 private:
  absl::StatusOr<std::vector<Sha256Digest>> Fingerprints(const TrustFilter& filter,
                                                         const std::optional<Sha256Digest>& after, int64_t limit);

  Connection& connection_;
  int64_t cluster_id_;
};

}  // namespace trustline
