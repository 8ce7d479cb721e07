// Whether the TVS nodes answer for a signer, which must be so before a list that it signs is published: a phone that
// does not know the signer asks one of them.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/device/certificate_role.h"
#include "common/postgres/pool.h"
#include "common/service/identity_files.h"
#include "common/x509/certificate.h"
#include "proto/verification.grpc.pb.h"

namespace trustline {

inline constexpr absl::Duration kVouchingPatience = absl::Seconds(2);

// Thread-safe. Asks over gRPC, as phones ask over TLS: the answers come from the same snapshot.
class NodeVouching {
 public:
  NodeVouching(Pool& pool, IdentityFiles identity, absl::Duration patience = kVouchingPatience)
      : pool_(pool), identity_(std::move(identity)), patience_(patience) {}

  // OK when each approved node that answers for `cluster` says that the signer is valid with `role`, and at least
  // one does. Those in `without` are not asked. FailedPrecondition names the nodes that do not, why, and the way out;
  // errors of the database as they are. Waits for all nodes together, `patience` at most.
  absl::Status Check(const std::string& cluster, const Certificate& signer, const std::vector<std::string>& without,
                     CertificateRole role = CertificateRole::kSast);

 private:
  struct Node {
    std::string name;
    std::string identity;  // URI
    std::string address;
  };
  absl::StatusOr<std::vector<Node>> Nodes();
  // NotFound: it has no listener for the cluster.
  absl::Status Ask(const Node& node, const std::string& cluster, const Certificate& signer, CertificateRole role);
  absl::StatusOr<std::shared_ptr<v1::Verification::Stub>> StubFor(const std::string& address);

  Pool& pool_;
  const IdentityFiles identity_;
  const absl::Duration patience_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<v1::Verification::Stub>> stubs_;  // by address
};

}  // namespace trustline
