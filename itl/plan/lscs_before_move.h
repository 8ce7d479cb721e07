// LSCs go before phones move to who does not know their CA, and come back when they do not move after all.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "itl/plan/plan_steps.h"

namespace trustline {

// Waits until no device in service has an LSC that is good.
PlanStep LscStep();

// Of an aborted plan with that step: whose LSC is to be deleted still, or was while the plan was open, and what to do;
// else empty.
absl::StatusOr<std::string> LeftWithoutLsc(const PlanParts& parts, const StoredPlan& plan);

}  // namespace trustline
