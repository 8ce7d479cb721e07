// The plan that gives phones back to the call manager that they come from, and the steps with blank lists that it
// shares with a migration.
#pragma once

#include <string>
#include <vector>

#include "itl/plan/plan_steps.h"

namespace trustline {

PlanKindSteps Rollback();

// Lists become blank, phones are reset, and are waited for.
std::vector<PlanStep> BlankSteps();
// The lists are whole again.
PlanStep WholeStep();
// Waits until phones hold what is published. `what`: "the blank lists".
PlanStep HoldingStep(std::string action, const std::string& what, bool blank);

// Of an aborted plan that had published blank lists: who may still hold them, and what to do; else empty.
absl::StatusOr<std::string> LeftBlank(const PlanParts& parts, const StoredPlan& plan);

// FailedPrecondition for a cluster that has no lists, or whose lists are blank already.
absl::Status CheckCanBeBlanked(Connection& connection, const StoredPlan& plan);

}  // namespace trustline
