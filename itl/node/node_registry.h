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
};

// Works inside a transaction that the caller owns and commits; audits what it changes, on the cluster "default".
class NodeRegistry {
 public:
  NodeRegistry(Connection& transaction, const IdentityAuthority& authority, absl::Time now)
      : connection_(transaction), authority_(authority), now_(now) {}

  // A single-use token for the machine `node`; only its hash is kept. InvalidArgument for a name or a lifetime out of
  // range, FailedPrecondition while a node of that name is there.
  absl::StatusOr<NodeToken> CreateToken(std::string_view node, absl::Duration lifetime, std::string_view actor);

  // Uses the token up, trusts the TVS certificate and issues the identity, all or nothing. PermissionDenied, with one
  // and the same sentence, for a token that is wrong, expired or used; other errors leave the token as it was.
  absl::StatusOr<JoinedNode> Join(const JoinApplication& application);

  // A new certificate for the same identity. PermissionDenied for a removed node, a person without any role, a request
  // for another identity.
  absl::StatusOr<Certificate> Renew(const Identity& caller, ByteView certificate_request);

  absl::StatusOr<std::vector<NodeRecord>> List();

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
