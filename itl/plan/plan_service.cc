#include "itl/plan/plan_service.h"

#include <utility>
#include <vector>

#include "common/postgres/transaction.h"
#include "common/rpc/channel.h"
#include "common/status/status.h"
#include "itl/plan/plan_messages.h"
#include "itl/plan/plan_orders.h"
#include "itl/plan/plan_store.h"

namespace trustline {
namespace {

constexpr TransactionOptions kOneState = {.isolation = Isolation::kRepeatableRead, .read_only = true};

TrustStoreCaller StoreCaller(const Caller& caller) { return {caller.cluster_id, caller.cluster, caller.actor()}; }

}  // namespace

absl::StatusOr<std::unique_ptr<PlanService>> PlanService::Create(const PlanServiceParts& parts) {
  auto service = std::unique_ptr<PlanService>(new PlanService(parts));
  ASSIGN_OR_RETURN(service->policies_, MethodPolicy::AllOf(v1::Plans::service_full_name()));
  return service;
}

absl::StatusOr<Caller> PlanService::Admit(const grpc::ServerContext& context, const char* method,
                                          const google::protobuf::Message& request) {
  return parts_.authorizer.Authorize(context, policies_.find(method)->second, request);
}

absl::StatusOr<Caller> PlanService::AdmitChange(const grpc::ServerContext& context, const char* method,
                                                const google::protobuf::Message& request) {
  ASSIGN_OR_RETURN(Caller caller, Admit(context, method, request));
  if (parts_.engine == nullptr) {
    return FailedPrecondition(
        "this itld keeps no keys of trust lists, and runs no plans: give it a folder for them ([trust_lists] keys and "
        "passphrase_file in its configuration)");
  }
  return caller;
}

absl::Status PlanService::ToAnswer(const Caller& caller, const absl::StatusOr<StoredPlan>& plan, v1::Plan& answer) {
  RETURN_IF_ERROR(plan.status());
  return RunInTransaction(parts_.pool, kOneState, [&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(const StoredPlan now, PlanStore(connection, caller.cluster_id).Find(plan->number));
    ASSIGN_OR_RETURN(answer, ToProto(connection, now));
    return absl::OkStatus();
  });
}

absl::Status PlanService::Make(const Caller& caller, const v1::MakePlanRequest& request, v1::Plan& made) {
  return ToAnswer(caller, trustline::MakePlan(*parts_.engine, StoreCaller(caller), request), made);
}

absl::Status PlanService::List(const Caller& caller, const v1::ListPlansRequest& request,
                               v1::ListPlansResponse& response) {
  return RunInTransaction(parts_.pool, kOneState, [&](Connection& connection) -> absl::Status {
    response.Clear();
    ASSIGN_OR_RETURN(const std::vector<StoredPlan> plans,
                     PlanStore(connection, caller.cluster_id).List(request.with_ended()));
    for (const StoredPlan& plan : plans) {
      ASSIGN_OR_RETURN(*response.add_plans(), ToProto(connection, plan));
    }
    return absl::OkStatus();
  });
}

absl::Status PlanService::Show(const Caller& caller, const v1::ShowPlanRequest& request,
                               v1::ShowPlanResponse& response) {
  StoredPlan plan;
  RETURN_IF_ERROR(RunInTransaction(parts_.pool, kOneState, [&](Connection& connection) -> absl::Status {
    PlanStore store(connection, caller.cluster_id);
    ASSIGN_OR_RETURN(plan, FindPlan(store, request.number()));
    ASSIGN_OR_RETURN(*response.mutable_plan(), ToProto(connection, plan));
    return absl::OkStatus();
  }));
  if (parts_.engine == nullptr) return absl::OkStatus();
  ASSIGN_OR_RETURN(GateAnswer waits_for, parts_.engine->Ask(plan));
  *response.mutable_waits_for() = std::move(waits_for.report);
  return absl::OkStatus();
}

absl::Status PlanService::Change(const Caller& caller, const v1::ChangePlanRequest& request, v1::Plan& changed) {
  const absl::StatusOr<StoredPlan> plan = trustline::ChangePlan(*parts_.engine, StoreCaller(caller), request);
  if (parts_.runner != nullptr) parts_.runner->Wake();
  return ToAnswer(caller, plan, changed);
}

grpc::Status PlanService::MakePlan(grpc::ServerContext* context, const v1::MakePlanRequest* request,
                                   v1::MakePlanResponse* response) {
  const absl::StatusOr<Caller> caller = AdmitChange(*context, "MakePlan", *request);
  return ToGrpc(caller.ok() ? Make(*caller, *request, *response->mutable_plan()) : caller.status());
}

grpc::Status PlanService::ListPlans(grpc::ServerContext* context, const v1::ListPlansRequest* request,
                                    v1::ListPlansResponse* response) {
  const absl::StatusOr<Caller> caller = Admit(*context, "ListPlans", *request);
  return ToGrpc(caller.ok() ? List(*caller, *request, *response) : caller.status());
}

grpc::Status PlanService::ShowPlan(grpc::ServerContext* context, const v1::ShowPlanRequest* request,
                                   v1::ShowPlanResponse* response) {
  const absl::StatusOr<Caller> caller = Admit(*context, "ShowPlan", *request);
  return ToGrpc(caller.ok() ? Show(*caller, *request, *response) : caller.status());
}

grpc::Status PlanService::ChangePlan(grpc::ServerContext* context, const v1::ChangePlanRequest* request,
                                     v1::ChangePlanResponse* response) {
  const absl::StatusOr<Caller> caller = AdmitChange(*context, "ChangePlan", *request);
  return ToGrpc(caller.ok() ? Change(*caller, *request, *response->mutable_plan()) : caller.status());
}

}  // namespace trustline
