// The gRPC service Node (proto/node.proto).
#pragma once

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/postgres/pool.h"
#include "common/rpc/authorization.h"
#include "common/rpc/identity_authority.h"
#include "common/rpc/method_policy.h"
#include "common/service/audit.h"
#include "common/service/clock.h"
#include "common/service/log.h"
#include "common/service/metrics.h"
#include "itl/list/change_guard.h"
#include "itl/node/refused_joins.h"
#include "proto/node.grpc.pb.h"

namespace trustline {

struct NodeServiceParts {
  Authorizer& authorizer;
  Pool& pool;
  const IdentityAuthority& authority;
  AuditQueue& audit;  // takes the refused attempts to join
  const Clock& clock;
  Log& log;
  Metrics& metrics;
  ChangeGuard* guard = nullptr;  // of what phones lose; null in tests without any
};

// Thread-safe. What the parts refer to must outlive it. Metric: trustline_node_joins_total{outcome}, which counts the
// refused joins that are left out of the audit log too (RefusedJoins).
class NodeService final : public v1::Node::Service {
 public:
  static absl::StatusOr<std::unique_ptr<NodeService>> Create(const NodeServiceParts& parts);

  grpc::Status CreateToken(grpc::ServerContext* context, const v1::CreateTokenRequest* request,
                           v1::CreateTokenResponse* response) override;
  grpc::Status Join(grpc::ServerContext* context, const v1::JoinRequest* request, v1::JoinResponse* response) override;
  grpc::Status RenewIdentity(grpc::ServerContext* context, const v1::RenewIdentityRequest* request,
                             v1::RenewIdentityResponse* response) override;
  grpc::Status ListNodes(grpc::ServerContext* context, const v1::ListNodesRequest* request,
                         v1::ListNodesResponse* response) override;
  grpc::Status ApproveNode(grpc::ServerContext* context, const v1::ApproveNodeRequest* request,
                           v1::ApproveNodeResponse* response) override;
  grpc::Status Announce(grpc::ServerContext* context, const v1::AnnounceRequest* request,
                        v1::AnnounceResponse* response) override;
  grpc::Status PresentCertificates(grpc::ServerContext* context, const v1::PresentCertificatesRequest* request,
                                   v1::PresentCertificatesResponse* response) override;
  grpc::Status RemoveNode(grpc::ServerContext* context, const v1::RemoveNodeRequest* request,
                          v1::RemoveNodeResponse* response) override;

 private:
  struct Policies {
    MethodPolicy create_token, join, renew_identity, list_nodes, approve_node, announce, present_certificates,
        remove_node;
  };
  NodeService(const NodeServiceParts& parts, Policies policies);

  absl::Status MakeToken(grpc::ServerContext& context, const v1::CreateTokenRequest& request,
                         v1::CreateTokenResponse& response);
  absl::Status JoinNode(grpc::ServerContext& context, const v1::JoinRequest& request, v1::JoinResponse& response);
  void RecordRefusedJoin(const grpc::ServerContext& context, const absl::Status& reason);
  absl::Status RenewOwn(grpc::ServerContext& context, const v1::RenewIdentityRequest& request,
                        v1::RenewIdentityResponse& response);
  absl::Status ListAll(grpc::ServerContext& context, const v1::ListNodesRequest& request,
                       v1::ListNodesResponse& response);
  absl::Status ApproveOne(grpc::ServerContext& context, const v1::ApproveNodeRequest& request,
                          v1::ApproveNodeResponse& response);
  absl::Status KeepAddress(grpc::ServerContext& context, const v1::AnnounceRequest& request,
                           v1::AnnounceResponse& response);
  absl::Status JudgePresented(grpc::ServerContext& context, const v1::PresentCertificatesRequest& request,
                              v1::PresentCertificatesResponse& response);
  absl::Status RemoveOne(grpc::ServerContext& context, const v1::RemoveNodeRequest& request,
                         v1::RemoveNodeResponse& response);
  absl::StatusOr<std::vector<int32_t>> ClustersWithLists();

  const NodeServiceParts parts_;
  const Policies policies_;
  Counter& joined_;
  Counter& refused_;
  RefusedJoins refused_joins_;
};

}  // namespace trustline
