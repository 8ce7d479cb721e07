// The gRPC service Plans (proto/plan.proto).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/postgres/pool.h"
#include "common/rpc/authorization.h"
#include "common/rpc/method_policy.h"
#include "itl/plan/plan_engine.h"
#include "itl/plan/plan_runner.h"
#include "proto/plan.grpc.pb.h"

namespace trustline {

struct PlanServiceParts {
  Authorizer& authorizer;
  Pool& pool;
  // Null, both of them, when this itld has no [trust_lists]: plans are shown, and none is made or changed.
  PlanEngine* engine;
  PlanRunner* runner;
};

// Thread-safe. What the parts refer to must outlive it.
class PlanService final : public v1::Plans::Service {
 public:
  static absl::StatusOr<std::unique_ptr<PlanService>> Create(const PlanServiceParts& parts);

  grpc::Status MakePlan(grpc::ServerContext* context, const v1::MakePlanRequest* request,
                        v1::MakePlanResponse* response) override;
  grpc::Status ListPlans(grpc::ServerContext* context, const v1::ListPlansRequest* request,
                         v1::ListPlansResponse* response) override;
  grpc::Status ShowPlan(grpc::ServerContext* context, const v1::ShowPlanRequest* request,
                        v1::ShowPlanResponse* response) override;
  grpc::Status ChangePlan(grpc::ServerContext* context, const v1::ChangePlanRequest* request,
                          v1::ChangePlanResponse* response) override;

 private:
  explicit PlanService(const PlanServiceParts& parts) : parts_(parts) {}

  absl::StatusOr<Caller> Admit(const grpc::ServerContext& context, const char* method,
                               const google::protobuf::Message& request);
  absl::StatusOr<Caller> AdmitChange(const grpc::ServerContext& context, const char* method,
                                     const google::protobuf::Message& request);
  absl::Status Make(const Caller& caller, const v1::MakePlanRequest& request, v1::Plan& made);
  absl::Status List(const Caller& caller, const v1::ListPlansRequest& request, v1::ListPlansResponse& response);
  absl::Status Show(const Caller& caller, const v1::ShowPlanRequest& request, v1::ShowPlanResponse& response);
  absl::Status Change(const Caller& caller, const v1::ChangePlanRequest& request, v1::Plan& changed);
  // The plan as it is now, or why not.
  absl::Status ToAnswer(const Caller& caller, const absl::StatusOr<StoredPlan>& plan, v1::Plan& answer);

  const PlanServiceParts parts_;
  std::map<std::string, MethodPolicy, std::less<>> policies_;  // by method
};

}  // namespace trustline
