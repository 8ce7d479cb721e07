// The gRPC service Access (proto/access.proto).
#pragma once

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/postgres/pool.h"
#include "common/rpc/authorization.h"
#include "common/rpc/identity_authority.h"
#include "common/rpc/method_policy.h"
#include "common/service/clock.h"
#include "proto/access.grpc.pb.h"

namespace trustline {

// Thread-safe. The references must outlive it. A change is in force on this process when its call returns, on others
// within a second.
class AccessService final : public v1::Access::Service {
 public:
  static absl::StatusOr<std::unique_ptr<AccessService>> Create(Authorizer& authorizer, Pool& pool,
                                                               const IdentityAuthority& authority, const Clock& clock);

  grpc::Status Grant(grpc::ServerContext* context, const v1::GrantRequest* request,
                     v1::GrantResponse* response) override;
  grpc::Status Revoke(grpc::ServerContext* context, const v1::RevokeRequest* request,
                      v1::RevokeResponse* response) override;
  grpc::Status ListGrants(grpc::ServerContext* context, const v1::ListGrantsRequest* request,
                          v1::ListGrantsResponse* response) override;
  grpc::Status IssuePersonIdentity(grpc::ServerContext* context, const v1::IssuePersonIdentityRequest* request,
                                   v1::IssuePersonIdentityResponse* response) override;
  grpc::Status CreateCluster(grpc::ServerContext* context, const v1::CreateClusterRequest* request,
                             v1::CreateClusterResponse* response) override;
  grpc::Status ListClusters(grpc::ServerContext* context, const v1::ListClustersRequest* request,
                            v1::ListClustersResponse* response) override;

 private:
  struct Policies {
    MethodPolicy grant, revoke, list_grants, issue_person_identity, create_cluster, list_clusters;
  };
  AccessService(Authorizer& authorizer, Pool& pool, const IdentityAuthority& authority, const Clock& clock,
                Policies policies)
      : authorizer_(authorizer), pool_(pool), authority_(authority), clock_(clock), policies_(std::move(policies)) {}

  absl::Status GrantRole(grpc::ServerContext& context, const v1::GrantRequest& request, v1::GrantResponse& response);
  absl::Status RevokeRole(grpc::ServerContext& context, const v1::RevokeRequest& request, v1::RevokeResponse& response);
  absl::Status ListRoles(grpc::ServerContext& context, const v1::ListGrantsRequest& request,
                         v1::ListGrantsResponse& response);
  absl::Status IssuePerson(grpc::ServerContext& context, const v1::IssuePersonIdentityRequest& request,
                           v1::IssuePersonIdentityResponse& response);
  absl::Status MakeCluster(grpc::ServerContext& context, const v1::CreateClusterRequest& request,
                           v1::CreateClusterResponse& response);
  absl::Status ListOwnClusters(grpc::ServerContext& context, const v1::ListClustersRequest& request,
                               v1::ListClustersResponse& response);

  Authorizer& authorizer_;
  Pool& pool_;
  const IdentityAuthority& authority_;
  const Clock& clock_;
  const Policies policies_;
};

}  // namespace trustline
