// itld's service of plans: it answers what a test has put there, and keeps what it was asked. The tests look at it
// between calls only.
#pragma once

#include <grpcpp/server_context.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "proto/plan.grpc.pb.h"

namespace trustline {

class FakePlans final : public v1::Plans::Service {
 public:
  grpc::Status MakePlan(grpc::ServerContext*, const v1::MakePlanRequest* request,
                        v1::MakePlanResponse* response) override {
    made = *request;
    *response->mutable_plan() = plan;
    response->mutable_plan()->set_kind(request->kind());
    return status;
  }
  grpc::Status ListPlans(grpc::ServerContext*, const v1::ListPlansRequest* request,
                         v1::ListPlansResponse* response) override {
    listed = *request;
    for (const v1::Plan& one : plans) *response->add_plans() = one;
    return status;
  }
  // `looks` one after the other, the last one again and again; an error stands for an itld that is away.
  grpc::Status ShowPlan(grpc::ServerContext*, const v1::ShowPlanRequest* request,
                        v1::ShowPlanResponse* response) override {
    shown.push_back(*request);
    if (looks.empty()) return {grpc::StatusCode::NOT_FOUND, "no plan is open: see `trustctl plan list --all`"};
    const auto& [look_status, look] = looks[std::min(shown.size(), looks.size()) - 1];
    *response = look;
    return look_status;
  }
  grpc::Status ChangePlan(grpc::ServerContext*, const v1::ChangePlanRequest* request,
                          v1::ChangePlanResponse* response) override {
    changed = *request;
    *response->mutable_plan() = plan;
    return status;
  }

  grpc::Status status;  // of every call but ShowPlan
  v1::Plan plan;
  std::vector<v1::Plan> plans;
  std::vector<std::pair<grpc::Status, v1::ShowPlanResponse>> looks;

  v1::MakePlanRequest made;
  v1::ListPlansRequest listed;
  std::vector<v1::ShowPlanRequest> shown;
  v1::ChangePlanRequest changed;
};

}  // namespace trustline
