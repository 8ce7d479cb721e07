// Decides about every call: the caller's identity from its certificate, its roles from the database's access grants,
// the rule from the method's option.
#pragma once

#include <grpcpp/security/auth_context.h>
#include <grpcpp/server_context.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/rpc/identity.h"
#include "common/rpc/method_policy.h"
#include "common/service/audit.h"
#include "common/service/clock.h"
#include "common/service/log.h"
#include "common/service/metrics.h"

namespace trustline {

// Who calls and in which cluster. `identity` is empty only for methods that admit anyone.
struct Caller {
  std::optional<Identity> identity;
  int32_t cluster_id = 0;  // 0 for methods that admit anyone, any identity, or any cluster
  std::string cluster;     // name; empty with cluster_id 0
  RoleSet roles;           // of a person on this cluster (scope ANY_CLUSTER: on all); empty for a service

  // The identity's URI, or "anonymous".
  std::string actor() const { return identity ? identity->ToUri() : "anonymous"; }
};

struct AuthorizerOptions {
  std::string connection;  // libpq's connection string; the role must read access_grant and cluster
  std::string application_name;
  absl::Duration poll_interval = absl::Seconds(1);
  // While the database is away the last known grants stay in force so long; then calls are UNAVAILABLE.
  absl::Duration age_limit = absl::Hours(1);
};

// Rules: people act with their roles on the request's cluster (scope REQUEST_CLUSTER), on the cluster "default"
// (SYSTEM), or on any one cluster (ANY_CLUSTER). Services act by their kind; one whose identity belongs to another
// cluster than "default" only for that cluster. People's identities belong to the cluster "default".
//
// A thread of its own reads the grants through a connection of its own: at every notification access_change and at each
// poll interval. Authorize takes no lock and asks no database, unless it denies or the grants have just changed.
class Authorizer {
 public:
  // Neither network nor database until Start. The references must outlive it; `audit` takes the denials.
  Authorizer(const AuthorizerOptions& options, const Clock& clock, Log& log, Metrics& metrics, AuditQueue& audit);
  ~Authorizer();

  void Start();
  void Stop();
  // OK when grants are known and not older than the age limit.
  absl::Status Ready() const;
  // Returns when grants read after this call began are in force, or DeadlineExceeded.
  absl::Status WaitForRefresh(absl::Duration timeout);

  // UNAUTHENTICATED without an identity, PERMISSION_DENIED when the rule does not admit the caller (also for a cluster
  // that does not exist, so that names cannot be probed, unless the caller has a role on "default": then NOT_FOUND),
  // UNAVAILABLE while no grants are known. Denials are counted and audited, as AuditQueue aggregates them.
  absl::StatusOr<Caller> Authorize(const grpc::ServerContextBase& context, const MethodPolicy& policy,
                                   const google::protobuf::Message& request);

  // The same for an identity that was established otherwise; null for none. `peer` is for the log.
  absl::StatusOr<Caller> AuthorizeIdentity(const Identity* identity, std::string_view peer, const MethodPolicy& policy,
                                           const google::protobuf::Message& request);

  // Records that a caller without an identity was kept away from `method` before it came to Authorize. As nobody says
  // who calls, all of one method in a minute are one kind, so that they cannot fill the audit log.
  void DenyWithoutIdentity(std::string_view method, std::string_view peer = "");

  // NotFound for a cluster that does not exist (or is not known yet).
  absl::StatusOr<int32_t> ClusterId(std::string_view name) const;
  // Roles of a person on a cluster, as last read.
  RoleSet RolesOf(std::string_view person, int32_t cluster_id) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// The identity of the peer's certificate, from its URI names: exactly one must be an identity of the system.
// Unauthenticated without a certificate or such a name.
absl::StatusOr<Identity> PeerIdentity(const grpc::AuthContext& peer);
absl::StatusOr<Identity> PeerIdentity(const grpc::ServerContextBase& context);

}  // namespace trustline
