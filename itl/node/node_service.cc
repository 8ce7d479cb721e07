#include "itl/node/node_service.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/bytes/bytes.h"
#include "common/postgres/transaction.h"
#include "common/rpc/channel.h"
#include "common/rpc/identity.h"
#include "common/rpc/peer_address.h"
#include "common/rpc/proto_time.h"
#include "common/status/status.h"
#include "itl/node/node_registry.h"
#include "itl/question/presented_certificates.h"
#include "itl/question/tvs_reach_store.h"

namespace trustline {
namespace {

constexpr char kJoinsMetric[] = "trustline_node_joins_total";
constexpr char kJoinsHelp[] = "Machines that asked to join";

// What it means in each cluster, in one answer.
void Merge(const std::vector<v1::PreFlight>& reports, v1::PreFlight& all) {
  bool made = true;
  for (const v1::PreFlight& report : reports) {
    all.set_phones(all.phones() + report.phones());
    all.set_not_named(all.not_named() + report.not_named());
    all.mutable_counts()->MergeFrom(report.counts());
    all.mutable_named()->MergeFrom(report.named());
    if (all.refusal().empty()) all.set_refusal(report.refusal());
    made = made && report.made();
  }
  all.set_made(made);
}

}  // namespace

NodeService::NodeService(const NodeServiceParts& parts, Policies policies)
    : parts_(parts),
      policies_(std::move(policies)),
      joined_(parts.metrics.GetCounter(kJoinsMetric, kJoinsHelp, {{"outcome", "joined"}})),
      refused_(parts.metrics.GetCounter(kJoinsMetric, kJoinsHelp, {{"outcome", "refused"}})) {}

absl::StatusOr<std::unique_ptr<NodeService>> NodeService::Create(const NodeServiceParts& parts) {
  const char* const service = v1::Node::service_full_name();
  ASSIGN_OR_RETURN(MethodPolicy create_token, MethodPolicy::Find(service, "CreateToken"));
  ASSIGN_OR_RETURN(MethodPolicy join, MethodPolicy::Find(service, "Join"));
  ASSIGN_OR_RETURN(MethodPolicy renew, MethodPolicy::Find(service, "RenewIdentity"));
  ASSIGN_OR_RETURN(MethodPolicy list, MethodPolicy::Find(service, "ListNodes"));
  ASSIGN_OR_RETURN(MethodPolicy approve, MethodPolicy::Find(service, "ApproveNode"));
  ASSIGN_OR_RETURN(MethodPolicy announce, MethodPolicy::Find(service, "Announce"));
  ASSIGN_OR_RETURN(MethodPolicy present, MethodPolicy::Find(service, "PresentCertificates"));
  ASSIGN_OR_RETURN(MethodPolicy remove, MethodPolicy::Find(service, "RemoveNode"));
  return std::unique_ptr<NodeService>(
      new NodeService(parts, Policies{std::move(create_token), std::move(join), std::move(renew), std::move(list),
                                      std::move(approve), std::move(announce), std::move(present), std::move(remove)}));
}

absl::Status NodeService::MakeToken(grpc::ServerContext& context, const v1::CreateTokenRequest& request,
                                    v1::CreateTokenResponse& response) {
  ASSIGN_OR_RETURN(const Caller caller, parts_.authorizer.Authorize(context, policies_.create_token, request));
  const absl::Duration lifetime =
      request.has_lifetime() ? FromProtoDuration(request.lifetime()) : kDefaultTokenLifetime;
  ASSIGN_OR_RETURN(const NodeToken token, RunInTransaction(parts_.pool, {}, [&](Connection& connection) {
                     return NodeRegistry(connection, parts_.authority, parts_.clock.Now())
                         .CreateToken(request.node(), lifetime, caller.actor());
                   }));
  response.set_secret(std::string(token.secret.ExposeSecret()));
  response.set_authority_sha256(std::string(AsText(parts_.authority.certificate().sha256())));
  *response.mutable_expires_at() = ToProtoTime(token.expires_at);
  return absl::OkStatus();
}

absl::Status NodeService::JoinNode(grpc::ServerContext& context, const v1::JoinRequest& request,
                                   v1::JoinResponse& response) {
  RETURN_IF_ERROR(parts_.authorizer.Authorize(context, policies_.join, request).status());
  const JoinApplication application{request.secret(), request.certificate_request(), request.tvs_certificate()};
  const absl::StatusOr<JoinedNode> joined = RunInTransaction(parts_.pool, {}, [&](Connection& connection) {
    return NodeRegistry(connection, parts_.authority, parts_.clock.Now()).Join(application);
  });
  if (!joined.ok()) {
    RecordRefusedJoin(context, joined.status());
    return joined.status();
  }
  joined_.Add();
  parts_.log.Info("NODE_JOINED", "a machine has joined", {{"node", joined->node}, {"peer", context.peer()}});
  response.set_node(joined->node);
  response.set_certificate(std::string(AsText(joined->identity.der())));
  response.set_authority(std::string(AsText(parts_.authority.certificate().der())));
  return absl::OkStatus();
}

void NodeService::RecordRefusedJoin(const grpc::ServerContext& context, const absl::Status& reason) {
  refused_.Add();
  const std::string peer = context.peer();
  parts_.log.Warning("NODE_JOIN_REFUSED", "a machine was not let in", {{"peer", peer}, {"reason", reason}});
  const std::optional<int64_t> left_out = refused_joins_.Admit(peer, parts_.clock.Now());
  if (!left_out) return;
  std::vector<std::pair<std::string, std::string>> detail = {{"reason", std::string(StatusMessage(reason))}};
  if (*left_out > 0) detail.emplace_back("refused_joins_left_out", fmt::format("{}", *left_out));
  const absl::StatusOr<int32_t> cluster_id = parts_.authorizer.ClusterId(kSystemCluster);
  parts_.audit.Append({.cluster_id = cluster_id.value_or(0),
                       .occurred_at = parts_.clock.Now(),
                       .actor = "anonymous",
                       .action = "node.join",
                       .subject = peer,
                       .outcome = absl::IsPermissionDenied(reason) ? AuditOutcome::kDenied : AuditOutcome::kFailed,
                       .detail = std::move(detail)});
}

absl::Status NodeService::RenewOwn(grpc::ServerContext& context, const v1::RenewIdentityRequest& request,
                                   v1::RenewIdentityResponse& response) {
  ASSIGN_OR_RETURN(const Caller caller, parts_.authorizer.Authorize(context, policies_.renew_identity, request));
  ASSIGN_OR_RETURN(const Certificate certificate, RunInTransaction(parts_.pool, {}, [&](Connection& connection) {
                     return NodeRegistry(connection, parts_.authority, parts_.clock.Now())
                         .Renew(*caller.identity, AsBytes(request.certificate_request()));
                   }));
  response.set_certificate(std::string(AsText(certificate.der())));
  return absl::OkStatus();
}

absl::Status NodeService::ListAll(grpc::ServerContext& context, const v1::ListNodesRequest& request,
                                  v1::ListNodesResponse& response) {
  RETURN_IF_ERROR(parts_.authorizer.Authorize(context, policies_.list_nodes, request).status());
  ASSIGN_OR_RETURN(const Pool::Lease lease, parts_.pool.Acquire());
  ASSIGN_OR_RETURN(const std::vector<NodeRecord> nodes,
                   NodeRegistry(*lease, parts_.authority, parts_.clock.Now()).List());
  for (const NodeRecord& node : nodes) {
    v1::NodeInfo& info = *response.add_nodes();
    info.set_name(node.name);
    info.set_identity(node.identity);
    if (node.tvs_sha256) info.set_tvs_certificate_sha256(std::string(AsText(*node.tvs_sha256)));
    *info.mutable_joined_at() = ToProtoTime(node.joined_at);
    *info.mutable_identity_expires_at() = ToProtoTime(node.identity_expires_at);
    if (node.approved_at) *info.mutable_approved_at() = ToProtoTime(*node.approved_at);
    if (node.approved_by) info.set_approved_by(*node.approved_by);
    info.set_grpc_address(node.grpc_address);
    if (node.removed_at) *info.mutable_removed_at() = ToProtoTime(*node.removed_at);
  }
  return absl::OkStatus();
}

absl::Status NodeService::ApproveOne(grpc::ServerContext& context, const v1::ApproveNodeRequest& request,
                                     v1::ApproveNodeResponse& response) {
  ASSIGN_OR_RETURN(const Caller caller, parts_.authorizer.Authorize(context, policies_.approve_node, request));
  ASSIGN_OR_RETURN(
      const NodeApproval approval, RunInTransaction(parts_.pool, {}, [&](Connection& connection) {
        return NodeRegistry(connection, parts_.authority, parts_.clock.Now()).Approve(request.node(), caller.actor());
      }));
  response.set_changed(approval.changed);
  response.set_commit(approval.commit);
  return absl::OkStatus();
}

absl::Status NodeService::KeepAddress(grpc::ServerContext& context, const v1::AnnounceRequest& request,
                                      v1::AnnounceResponse& response) {
  ASSIGN_OR_RETURN(const Caller caller, parts_.authorizer.Authorize(context, policies_.announce, request));
  std::string host = request.grpc_address();
  if (host.empty()) host = PeerHost(context.peer()).value_or("");
  ASSIGN_OR_RETURN(*response.mutable_grpc_address(), RunInTransaction(parts_.pool, {}, [&](Connection& connection) {
    return NodeRegistry(connection, parts_.authority, parts_.clock.Now())
        .Announce(*caller.identity, host, request.grpc_port());
  }));
  return absl::OkStatus();
}

absl::Status NodeService::JudgePresented(grpc::ServerContext& context, const v1::PresentCertificatesRequest& request,
                                         v1::PresentCertificatesResponse& response) {
  ASSIGN_OR_RETURN(const Caller caller, parts_.authorizer.Authorize(context, policies_.present_certificates, request));
  const std::string& node = caller.identity->name;
  ASSIGN_OR_RETURN(const Identity ordered_by, Identity::Parse(request.ordered_by()));
  if (!ordered_by.is_person()) return InvalidArgument("{} is no person, who could order it", ordered_by.ToUri());
  ASSIGN_OR_RETURN(const std::vector<Sha256Digest> certificates, ReadPresented(request.certificates_sha256()));
  if (certificates.empty()) return InvalidArgument("a node that answers phones presents a certificate");
  GuardedChange change = {.cluster_id = caller.cluster_id,
                          .actor = caller.actor(),
                          .action = "node.present",
                          .subject = fmt::format("node {}, which says {} ordered it", node, ordered_by.ToUri()),
                          .report = response.mutable_preflight()};
  ASSIGN_OR_RETURN(change.caution, FromProto(request.caution()));
  if (parts_.guard == nullptr) {
    return RunGuarded(parts_.pool, nullptr, change, [](Connection&) { return absl::OkStatus(); });
  }
  const absl::Status status = RunInTransaction(parts_.pool, {}, [&](Connection& connection) -> absl::Status {
    TvsReachStore reach(connection, caller.cluster_id, parts_.clock.Now());
    ASSIGN_OR_RETURN(const std::vector<Sha256Digest> before, reach.PresentedBy(node));
    RETURN_IF_ERROR(parts_.guard->Run(connection, change, [&] {
      reach.Presents(node, certificates);
      return absl::OkStatus();
    }));
    // Only the node knows what it presents in the end, and says so (TvsQuestions). What was accepted stays on record.
    reach.Presents(node, before);
    return absl::OkStatus();
  });
  return IsPlanned(status) ? absl::OkStatus() : status;
}

absl::Status NodeService::RemoveOne(grpc::ServerContext& context, const v1::RemoveNodeRequest& request,
                                    v1::RemoveNodeResponse& response) {
  ASSIGN_OR_RETURN(const Caller caller, parts_.authorizer.Authorize(context, policies_.remove_node, request));
  GuardedChange change = {.actor = caller.actor(), .action = "node.remove", .subject = request.node()};
  ASSIGN_OR_RETURN(change.caution, FromProto(request.caution()));
  const auto remove = [&](Connection& connection) {
    return NodeRegistry(connection, parts_.authority, parts_.clock.Now()).Remove(request.node(), caller.actor());
  };
  if (parts_.guard == nullptr) return RunInTransaction(parts_.pool, {}, remove);

  // A node answers the phones of every cluster that has a listener there.
  ASSIGN_OR_RETURN(const std::vector<int32_t> clusters, ClustersWithLists());
  std::vector<v1::PreFlight> reports(clusters.size());
  const absl::Status status = RunInTransaction(parts_.pool, {}, [&](Connection& connection) -> absl::Status {
    std::function<absl::Status()> apply = [&] { return remove(connection); };
    for (size_t i = 0; i < clusters.size(); ++i) {
      GuardedChange one = change;
      one.cluster_id = clusters[i];
      one.report = &reports[i];
      // Planned in one cluster, it is planned in the next too.
      apply = [&, one, inner = std::move(apply)]() -> absl::Status {
        return parts_.guard->Run(connection, one, [&]() -> absl::Status {
          const absl::Status done = inner();
          return IsPlanned(done) ? absl::OkStatus() : done;
        });
      };
    }
    return apply();
  });
  Merge(reports, *response.mutable_preflight());
  return IsPlanned(status) ? absl::OkStatus() : status;
}

absl::StatusOr<std::vector<int32_t>> NodeService::ClustersWithLists() {
  static constexpr Statement kClusters = {"node_clusters_with_lists",
                                          "SELECT cluster_id FROM trust_list_policy ORDER BY cluster_id"};
  ASSIGN_OR_RETURN(const Pool::Lease lease, parts_.pool.Acquire());
  ASSIGN_OR_RETURN(const Result rows, lease->Execute(kClusters));
  std::vector<int32_t> clusters;
  for (const Row row : rows) RETURN_IF_ERROR(row.Scan(clusters.emplace_back()));
  return clusters;
}

grpc::Status NodeService::CreateToken(grpc::ServerContext* context, const v1::CreateTokenRequest* request,
                                      v1::CreateTokenResponse* response) {
  return ToGrpc(MakeToken(*context, *request, *response));
}
grpc::Status NodeService::Join(grpc::ServerContext* context, const v1::JoinRequest* request,
                               v1::JoinResponse* response) {
  return ToGrpc(JoinNode(*context, *request, *response));
}
grpc::Status NodeService::RenewIdentity(grpc::ServerContext* context, const v1::RenewIdentityRequest* request,
                                        v1::RenewIdentityResponse* response) {
  return ToGrpc(RenewOwn(*context, *request, *response));
}
grpc::Status NodeService::ListNodes(grpc::ServerContext* context, const v1::ListNodesRequest* request,
                                    v1::ListNodesResponse* response) {
  return ToGrpc(ListAll(*context, *request, *response));
}
grpc::Status NodeService::ApproveNode(grpc::ServerContext* context, const v1::ApproveNodeRequest* request,
                                      v1::ApproveNodeResponse* response) {
  return ToGrpc(ApproveOne(*context, *request, *response));
}
grpc::Status NodeService::Announce(grpc::ServerContext* context, const v1::AnnounceRequest* request,
                                   v1::AnnounceResponse* response) {
  return ToGrpc(KeepAddress(*context, *request, *response));
}
grpc::Status NodeService::PresentCertificates(grpc::ServerContext* context,
                                              const v1::PresentCertificatesRequest* request,
                                              v1::PresentCertificatesResponse* response) {
  return ToGrpc(JudgePresented(*context, *request, *response));
}
grpc::Status NodeService::RemoveNode(grpc::ServerContext* context, const v1::RemoveNodeRequest* request,
                                     v1::RemoveNodeResponse* response) {
  return ToGrpc(RemoveOne(*context, *request, *response));
}

}  // namespace trustline
