// The tables of plans (migrations/0024_plans.sql). Works inside a transaction that the caller owns.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/postgres/connection.h"
#include "common/x509/certificate.h"
#include "itl/plan/plan_record.h"

namespace trustline {

class PlanStore {
 public:
  PlanStore(Connection& transaction, int32_t cluster_id) : connection_(transaction), cluster_id_(cluster_id) {}

  // The number of a new plan. FailedPrecondition while another one of the cluster has not ended.
  absl::StatusOr<int32_t> Add(const StoredPlan& plan);

  // Until the transaction ends nobody else changes the plan. NotFound.
  absl::Status Lock(int32_t number);
  // With its steps and whom it accepts. NotFound.
  absl::StatusOr<StoredPlan> Find(int32_t number);
  // The one that has not ended; NotFound when there is none.
  absl::StatusOr<StoredPlan> FindOpen();
  // The newest first.
  absl::StatusOr<std::vector<StoredPlan>> List(bool with_ended);

  // `ended`: done or aborted now.
  absl::Status SetState(int32_t number, PlanState state, std::string_view reason, std::optional<absl::Time> ended);
  absl::Status BeginAbort(int32_t number);
  // Besides those of before.
  absl::Status AddAccepted(int32_t number, const UnprovenPhones& phones);
  absl::Status SetGoesWithout(int32_t number, int64_t phones);
  absl::Status SetNew(int32_t number, const Certificate& certificate, std::string_view key_name);
  absl::Status SetStep(int32_t number, int32_t step, StepState state, std::string_view progress, absl::Time now);
  absl::Status SetReset(int32_t number, int32_t step, int32_t reset_id);

 private:
  absl::Status ReadSteps(std::vector<StoredPlan>& plans);
  absl::Status ReadAccepted(StoredPlan& plan);

  Connection& connection_;
  const int32_t cluster_id_;
};

// Of all clusters, for whoever runs them.
struct RunningPlan {
  int32_t cluster_id = 0;
  int32_t number = 0;
};
absl::StatusOr<std::vector<RunningPlan>> RunningPlans(Connection& connection);

}  // namespace trustline
