#include "itl/access/access_service.h"

#include <string>
#include <utility>
#include <vector>

#include "common/bytes/bytes.h"
#include "common/postgres/transaction.h"
#include "common/rpc/channel.h"
#include "common/rpc/proto_time.h"
#include "common/service/audit.h"
#include "common/status/status.h"
#include "common/x509/certificate_request.h"
#include "itl/access/access_editor.h"

namespace trustline {
namespace {

constexpr absl::Duration kRefreshPatience = absl::Seconds(3);

absl::StatusOr<std::string> RoleText(v1::AccessRole role) {
  if (!v1::AccessRole_IsValid(role) || role == v1::ACCESS_ROLE_UNSPECIFIED) {
    return InvalidArgument("name a role: viewer, operator, administrator or auditor");
  }
  return std::string(AccessRoleText(role));
}

v1::Cluster ToProto(const ClusterRecord& cluster) {
  v1::Cluster proto;
  proto.set_name(cluster.name);
  proto.set_time_zone(cluster.time_zone);
  proto.set_trust_commit(cluster.trust_commit);
  *proto.mutable_created_at() = ToProtoTime(cluster.created_at);
  return proto;
}

}  // namespace

absl::StatusOr<std::unique_ptr<AccessService>> AccessService::Create(Authorizer& authorizer, Pool& pool,
                                                                     const IdentityAuthority& authority,
                                                                     const Clock& clock) {
  const char* const service = v1::Access::service_full_name();
  ASSIGN_OR_RETURN(MethodPolicy grant, MethodPolicy::Find(service, "Grant"));
  ASSIGN_OR_RETURN(MethodPolicy revoke, MethodPolicy::Find(service, "Revoke"));
  ASSIGN_OR_RETURN(MethodPolicy list_grants, MethodPolicy::Find(service, "ListGrants"));
  ASSIGN_OR_RETURN(MethodPolicy issue, MethodPolicy::Find(service, "IssuePersonIdentity"));
  ASSIGN_OR_RETURN(MethodPolicy create, MethodPolicy::Find(service, "CreateCluster"));
  ASSIGN_OR_RETURN(MethodPolicy list_clusters, MethodPolicy::Find(service, "ListClusters"));
  return std::unique_ptr<AccessService>(
      new AccessService(authorizer, pool, authority, clock,
                        Policies{std::move(grant), std::move(revoke), std::move(list_grants), std::move(issue),
                                 std::move(create), std::move(list_clusters)}));
}

absl::Status AccessService::GrantRole(grpc::ServerContext& context, const v1::GrantRequest& request,
                                      v1::GrantResponse& response) {
  ASSIGN_OR_RETURN(const Caller caller, authorizer_.Authorize(context, policies_.grant, request));
  ASSIGN_OR_RETURN(const std::string role, RoleText(request.role()));
  ASSIGN_OR_RETURN(const bool changed, RunInTransaction(pool_, {}, [&](Connection& connection) {
                     return AccessEditor(connection, caller.actor()).Grant(caller.cluster_id, request.person(), role);
                   }));
  response.set_changed(changed);
  // The change is committed: a slow refresh is no failure of this call.
  if (changed) authorizer_.WaitForRefresh(kRefreshPatience).IgnoreError();
  return absl::OkStatus();
}

absl::Status AccessService::RevokeRole(grpc::ServerContext& context, const v1::RevokeRequest& request,
                                       v1::RevokeResponse& response) {
  ASSIGN_OR_RETURN(const Caller caller, authorizer_.Authorize(context, policies_.revoke, request));
  ASSIGN_OR_RETURN(const std::string role, RoleText(request.role()));
  ASSIGN_OR_RETURN(const bool changed, RunInTransaction(pool_, {}, [&](Connection& connection) {
                     return AccessEditor(connection, caller.actor()).Revoke(caller.cluster_id, request.person(), role);
                   }));
  response.set_changed(changed);
  if (changed) authorizer_.WaitForRefresh(kRefreshPatience).IgnoreError();
  return absl::OkStatus();
}

absl::Status AccessService::ListRoles(grpc::ServerContext& context, const v1::ListGrantsRequest& request,
                                      v1::ListGrantsResponse& response) {
  ASSIGN_OR_RETURN(const Caller caller, authorizer_.Authorize(context, policies_.list_grants, request));
  ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
  ASSIGN_OR_RETURN(const std::vector<AccessGrantRecord> grants,
                   AccessEditor(*lease, caller.actor()).List(caller.cluster_id));
  for (const AccessGrantRecord& grant : grants) {
    ASSIGN_OR_RETURN(const v1::AccessRole role, ParseAccessRole(grant.role));
    v1::AccessGrant& proto = *response.add_grants();
    proto.set_cluster(caller.cluster);
    proto.set_person(grant.person);
    proto.set_role(role);
    proto.set_granted_by(grant.granted_by);
    *proto.mutable_granted_at() = ToProtoTime(grant.granted_at);
  }
  return absl::OkStatus();
}

absl::Status AccessService::IssuePerson(grpc::ServerContext& context, const v1::IssuePersonIdentityRequest& request,
                                        v1::IssuePersonIdentityResponse& response) {
  ASSIGN_OR_RETURN(const Caller caller, authorizer_.Authorize(context, policies_.issue_person_identity, request));
  ASSIGN_OR_RETURN(const Identity person, Identity::Create(kSystemCluster, kPersonKind, request.person()));
  ASSIGN_OR_RETURN(const CertificateRequest certificate_request,
                   CertificateRequest::FromDer(AsBytes(request.certificate_request())));
  ASSIGN_OR_RETURN(const Certificate certificate, authority_.IssueIdentity(certificate_request, person, clock_.Now()));
  RETURN_IF_ERROR(RunInTransaction(pool_, {}, [&](Connection& connection) {
    return AppendAudit(connection, {.cluster_id = caller.cluster_id,
                                    .actor = caller.actor(),
                                    .action = "access.identity",
                                    .subject = person.name,
                                    .detail = {{"identity", ToHex(certificate.sha256())}}});
  }));
  response.set_certificate(std::string(AsText(certificate.der())));
  response.set_authority(std::string(AsText(authority_.certificate().der())));
  return absl::OkStatus();
}

absl::Status AccessService::MakeCluster(grpc::ServerContext& context, const v1::CreateClusterRequest& request,
                                        v1::CreateClusterResponse& response) {
  ASSIGN_OR_RETURN(const Caller caller, authorizer_.Authorize(context, policies_.create_cluster, request));
  // Roles are granted per cluster by its administrators, so that a new one needs a first: who made it.
  ASSIGN_OR_RETURN(
      const ClusterRecord cluster,
      RunInTransaction(pool_, {}, [&](Connection& connection) -> absl::StatusOr<ClusterRecord> {
        AccessEditor editor(connection, caller.actor());
        ASSIGN_OR_RETURN(ClusterRecord created, editor.CreateCluster(request.name(), request.time_zone()));
        if (caller.identity && caller.identity->is_person()) {
          RETURN_IF_ERROR(
              editor.Grant(created.cluster_id, caller.identity->name, AccessRoleText(v1::ACCESS_ROLE_ADMINISTRATOR))
                  .status());
        }
        return created;
      }));
  *response.mutable_cluster() = ToProto(cluster);
  authorizer_.WaitForRefresh(kRefreshPatience).IgnoreError();
  return absl::OkStatus();
}

absl::Status AccessService::ListOwnClusters(grpc::ServerContext& context, const v1::ListClustersRequest& request,
                                            v1::ListClustersResponse& response) {
  ASSIGN_OR_RETURN(const Caller caller, authorizer_.Authorize(context, policies_.list_clusters, request));
  ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
  ASSIGN_OR_RETURN(const std::vector<ClusterRecord> clusters, AccessEditor(*lease, caller.actor()).ListClusters());
  for (const ClusterRecord& cluster : clusters) {
    const Identity& identity = *caller.identity;
    const bool visible = identity.is_person() ? !authorizer_.RolesOf(identity.name, cluster.cluster_id).empty()
                                              : identity.cluster == kSystemCluster || identity.cluster == cluster.name;
    if (visible) *response.add_clusters() = ToProto(cluster);
  }
  return absl::OkStatus();
}

grpc::Status AccessService::Grant(grpc::ServerContext* context, const v1::GrantRequest* request,
                                  v1::GrantResponse* response) {
  return ToGrpc(GrantRole(*context, *request, *response));
}
grpc::Status AccessService::Revoke(grpc::ServerContext* context, const v1::RevokeRequest* request,
                                   v1::RevokeResponse* response) {
  return ToGrpc(RevokeRole(*context, *request, *response));
}
grpc::Status AccessService::ListGrants(grpc::ServerContext* context, const v1::ListGrantsRequest* request,
                                       v1::ListGrantsResponse* response) {
  return ToGrpc(ListRoles(*context, *request, *response));
}
grpc::Status AccessService::IssuePersonIdentity(grpc::ServerContext* context,
                                                const v1::IssuePersonIdentityRequest* request,
                                                v1::IssuePersonIdentityResponse* response) {
  return ToGrpc(IssuePerson(*context, *request, *response));
}
grpc::Status AccessService::CreateCluster(grpc::ServerContext* context, const v1::CreateClusterRequest* request,
                                          v1::CreateClusterResponse* response) {
  return ToGrpc(MakeCluster(*context, *request, *response));
}
grpc::Status AccessService::ListClusters(grpc::ServerContext* context, const v1::ListClustersRequest* request,
                                         v1::ListClustersResponse* response) {
  return ToGrpc(ListOwnClusters(*context, *request, *response));
}

}  // namespace trustline
