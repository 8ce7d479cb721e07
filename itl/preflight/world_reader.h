// Reads what a cluster offers its phones now, as the caller's transaction sees it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/postgres/connection.h"
#include "common/service/key_folder.h"
#include "common/x509/crl.h"
#include "itl/list/list_store.h"
#include "itl/preflight/list_memory.h"
#include "itl/preflight/trust_world.h"

namespace trustline {

// A certificate that phones depend on until it ends, or until the CRL of its issuer does: for the forecast of what that
// will mean.
struct StandingCertificate {
  Sha256Digest sha256 = {};
  std::string standing;  // "signs the ITL of node1", "TVS of node1, by a CRL that ends then"
  absl::Time ends_at;
};

class WorldReader {
 public:
  // `keys` is null where lists are not made. All must outlive it.
  WorldReader(Connection& transaction, int32_t cluster_id, ListMemory& memory, KeyFolder* keys)
      : connection_(transaction),
        cluster_id_(cluster_id),
        store_(transaction, cluster_id),
        memory_(memory),
        keys_(keys) {}

  // As it is at `at`, which decides what has expired.
  absl::StatusOr<TrustWorld> Read(absl::Time at);

  // The same without what waits, which costs more than the rest.
  absl::StatusOr<TrustWorld> ReadPublished(absl::Time at);

  // Those that phones depend on now, in the order of their ends.
  absl::StatusOr<std::vector<StandingCertificate>> ReadStanding(const TrustWorld& world);

 private:
  absl::StatusOr<TrustWorld> ReadAll(absl::Time at, bool with_waiting);
  absl::Status ReadServed(bool with_waiting);
  absl::Status ReadWaiting(const std::vector<StoredList>& lists);
  absl::Status ReadNodes();
  absl::Status ReadVouched(absl::Time at);
  absl::Status DropRevoked(absl::Time at);
  // The CRLs of their issuers.
  absl::StatusOr<std::vector<CertificateRevocationList>> ReadCrls(const std::vector<std::string>& certificates);
  absl::Status ReadKeys();

  Connection& connection_;
  const int32_t cluster_id_;
  ListStore store_;
  ListMemory& memory_;
  KeyFolder* const keys_;
  TrustWorld world_;
};

}  // namespace trustline
