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

// A node that has not been heard of for so long answers nobody. It says what it presents every 5 min.
inline constexpr absl::Duration kNodeSilence = absl::Minutes(15);

// What is read is that of now; what has ended may be asked for another time.
struct WorldMoment {
  absl::Time now;
  absl::Time certificates_at = now;
  absl::Time crls_at = now;
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

  absl::StatusOr<TrustWorld> Read(const WorldMoment& moment);

  // The same without what waits, which costs more than the rest.
  absl::StatusOr<TrustWorld> ReadPublished(const WorldMoment& moment);

  // Those that phones depend on now, in the order of their ends; a TVS certificate also when it has ended. `world` is
  // what was read last.
  absl::StatusOr<std::vector<StandingCertificate>> ReadStanding(const TrustWorld& world);

 private:
  absl::StatusOr<TrustWorld> ReadAll(const WorldMoment& moment, bool with_waiting);
  absl::Status ReadServed(bool with_waiting);
  absl::Status ReadWaiting(const std::vector<StoredList>& lists);
  absl::Status ReadNodes(absl::Time now);
  absl::Status ReadVouched(absl::Time at);
  absl::Status DropRevoked(absl::Time at);
  // The CRLs of their issuers.
  absl::StatusOr<std::vector<CertificateRevocationList>> ReadCrls(const std::vector<std::string>& certificates);
  absl::Status ReadKeys();
  // Of what is presented, what an administrator trusts so, also when it has ended.
  absl::StatusOr<std::set<Sha256Digest>> TrustedAsTvs();

  Connection& connection_;
  const int32_t cluster_id_;
  ListStore store_;
  ListMemory& memory_;
  KeyFolder* const keys_;
  TrustWorld world_;
  std::map<std::string, std::set<Sha256Digest>> presented_;  // by node, trusted or ended
};

}  // namespace trustline
