// The verdicts for programs (proto/verification.proto).
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/rpc/authorization.h"
#include "common/rpc/method_policy.h"
#include "common/service/clock.h"
#include "proto/verification.grpc.pb.h"
#include "tvs/freshness.h"
#include "tvs/trust_follower.h"
#include "tvs/verdict.h"

namespace trustline {

// Answers from the same snapshots as the phones' listeners, with reasons. No method blocks a thread of gRPC's.
class VerificationService final : public v1::Verification::CallbackService {
 public:
  // All must outlive the service.
  static absl::StatusOr<std::unique_ptr<VerificationService>> Create(std::string node, TrustFollower& follower,
                                                                     FreshnessPolicy policy, const Clock& clock,
                                                                     Authorizer& authorizer);

  grpc::ServerUnaryReactor* Verify(grpc::CallbackServerContext* context, const v1::VerifyRequest* request,
                                   v1::VerifyResponse* response) override;
  grpc::ServerBidiReactor<v1::VerifyRequest, v1::VerifyResponse>* VerifyBatch(
      grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* Query(grpc::CallbackServerContext* context, const v1::QueryRequest* request,
                                  v1::QueryResponse* response) override;
  grpc::ServerUnaryReactor* GetNodeStatus(grpc::CallbackServerContext* context, const v1::GetNodeStatusRequest* request,
                                          v1::GetNodeStatusResponse* response) override;

 private:
  friend class VerifyBatchReactor;
  struct Policies {
    MethodPolicy verify;
    MethodPolicy verify_batch;
    MethodPolicy query;
    MethodPolicy get_node_status;
  };
  using Done = std::function<void(absl::Status)>;

  VerificationService(std::string node, TrustFollower& follower, FreshnessPolicy policy, const Clock& clock,
                      Authorizer& authorizer, Policies policies)
      : node_(std::move(node)),
        follower_(follower),
        policy_(policy),
        clock_(clock),
        authorizer_(authorizer),
        policies_(std::move(policies)) {}

  absl::StatusOr<FollowedCluster*> FindCluster(const std::string& name) const;

  // Fills the response and calls `done`, at once or, for what the store does not know, after the database was asked.
  void VerifyOne(const v1::VerifyRequest& request, v1::VerifyResponse& response, Done done);

  // Judges from the present snapshot, once or, when the verdict is "unknown", again after the database was asked.
  // `judge(snapshot, now)` gives the verdict, `use(verdict, age)` takes it while the snapshot lives. Both are copied
  // only when the database is asked. Defined beside its only users.
  template <typename Judge, typename Use>
  void JudgeAndConfirm(FollowedCluster& cluster, bool confirmed, const Judge& judge, const Use& use, Done done);

  const std::string node_;
  TrustFollower& follower_;
  const FreshnessPolicy policy_;
  const Clock& clock_;
  Authorizer& authorizer_;
  const Policies policies_;
};

}  // namespace trustline
