// The machines of the system: how they join, renew their identities, and leave.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/bytes/bytes.h"
#include "common/bytes/secret_bytes.h"
#include "common/bytes/sha256.h"
#include "common/postgres/connection.h"
#include "common/rpc/identity.h"
#include "common/rpc/identity_authority.h"
#include "common/rpc/join_token.h"
#include "common/x509/certificate.h"

namespace trustline {

inline constexpr absl::Duration kDefaultTokenLifetime = absl::Hours(1);
inline constexpr absl::Duration kLongestTokenLifetime = absl::Hours(24 * 7);
// The service whose identity a joining machine gets.
inline constexpr std::string_view kNodeServiceKind = "tvsd";

struct NodeToken {
  SecretBytes secret;
  absl::Time expires_at;
};

struct JoinApplication {
  std::string secret;
  std::string certificate_request;  // PKCS#10, DER
  std::string tvs_certificate;      // DER
};

struct JoinedNode {
  std::string node;
  Certificate identity;
};

struct NodeRecord {
  std::string name;
  std::string identity;  // URI
  std::optional<Sha256Digest> tvs_sha256;
  absl::Time joined_at;
  absl::Time identity_expires_at;
  std::optional<absl::Time> removed_at;
  std::optional<absl::Time> approved_at;  // by whom is set with it
  std::optional<std::string> approved_by;
  std::string grpc_address;  // "HOST:PORT"; empty until it was announced
};

struct NodeApproval {
  bool changed = false;  // false when it was approved and listed already
  int64_t commit = 0;    // of the trust store; 0 when its TVS certificate was listed already
};

// Works inside a transaction that the caller owns and commits; audits what it changes, on the cluster "default".
class NodeRegistry {
 public:
  NodeRegistry(Connection& transaction, const IdentityAuthority& authority, absl::Time now)
      : connection_(transaction), authority_(authority), now_(now) {}

  // A single-use token for the machine `node`; only its hash is kept. InvalidArgument for a name or a lifetime out of
  // range, FailedPrecondition while a node of that name is there.
  absl::StatusOr<NodeToken> CreateToken(std::string_view node, absl::Duration lifetime, std::string_view actor);

  // Uses the token up, trusts the TVS certificate and issues the identity, all or nothing. Trusted, but not listed:
  // that waits for Approve(), also when a node of this name was approved before. PermissionDenied, with one and the
  // same sentence, for a token that is wrong, expired or used; other errors leave the token as it was.
  absl::StatusOr<JoinedNode> Join(const JoinApplication& application);

  // A new certificate for the same identity. PermissionDenied for a removed node, a person without any role, a request
  // for another identity.
  absl::StatusOr<Certificate> Renew(const Identity& caller, ByteView certificate_request);

  absl::StatusOr<std::vector<NodeRecord>> List();

  // Lists the TVS certificate with which the node joined. NotFound when no such node is there, FailedPrecondition when
  // that certificate was taken out of the trust store.
  absl::StatusOr<NodeApproval> Approve(std::string_view node, std::string_view actor);

  // Keeps where the caller's own node answers gRPC, and returns it: "HOST:PORT". InvalidArgument for what is no host
  // name or address, NotFound when the caller belongs to no node that is there.
  absl::StatusOr<std::string> Announce(const Identity& caller, std::string_view host, uint32_t port);

  // NotFound when no such node is there.
  absl::Status Remove(std::string_view node, std::string_view actor);

 private:
  absl::StatusOr<int32_t> SystemClusterId();
  absl::Status CheckNotThere(std::string_view node);
  absl::StatusOr<std::string> UseToken(std::string_view secret);
  absl::Status TrustTvsCertificate(const std::string& node, const Certificate& certificate, int32_t cluster_id,
                                   const std::string& actor);
  absl::Status CheckMayRenew(const Identity& caller);
  absl::Status Audit(std::string_view actor, const char* action, std::string_view subject,
                     std::vector<std::pair<std::string, std::string>> detail);

  Connection& connection_;
  const IdentityAuthority& authority_;
  absl::Time now_;
};

}  // namespace trustline
