// What administrators order of plans.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "itl/plan/plan_engine.h"
#include "itl/plan/plan_record.h"
#include "itl/plan/plan_store.h"
#include "itl/trust_store/trust_entry.h"
#include "proto/plan.pb.h"

namespace trustline {

// A new one, which does nothing until it is run. Errors as of FromProto(), of its kind, and FailedPrecondition while
// another plan of the cluster has not ended.
absl::StatusOr<StoredPlan> MakePlan(PlanEngine& engine, const TrustStoreCaller& caller,
                                    const v1::MakePlanRequest& request);

// Runs, pauses, resumes or aborts; what is to be done is the engine's. FailedPrecondition in a state that this does not
// fit, or when other phones are unproven than as many as are accepted.
absl::StatusOr<StoredPlan> ChangePlan(PlanEngine& engine, const TrustStoreCaller& caller,
                                      const v1::ChangePlanRequest& request);

// 0: the one that has not ended. NotFound.
absl::StatusOr<StoredPlan> FindPlan(PlanStore& store, int64_t number);

}  // namespace trustline
