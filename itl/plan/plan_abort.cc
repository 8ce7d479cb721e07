// Takes the changes of a plan back, the last one first.
#include <algorithm>
#include <utility>

#include "absl/strings/str_join.h"
#include "common/postgres/transaction.h"
#include "common/service/audit.h"
#include "common/service/fail_point.h"
#include "common/status/status.h"
#include "itl/plan/plan_engine.h"
#include "itl/plan/plan_store.h"
#include "itl/reset/reset_orders.h"

namespace trustline {

absl::Status PlanEngine::CallResetOff(const StoredPlan& plan, const StoredStep& stored) {
  return RunInTransaction(parts_.pool, {}, [&](Connection& connection) -> absl::Status {
    ResetOrders resets(connection, plan.cluster_id);
    ASSIGN_OR_RETURN(const ResetRecord reset, resets.Find(stored.reset_id));
    if (reset.ended_at) return absl::OkStatus();
    return resets
        .Abort(stored.reset_id, fmt::format("plan {} was aborted", plan.number), plan.made_by, parts_.clock.Now())
        .status();
  });
}

absl::Status PlanEngine::TakeBack(const StoredPlan& plan, const StoredStep& stored, std::vector<std::string>& stays) {
  if (stored.reset_id != 0) RETURN_IF_ERROR(CallResetOff(plan, stored));
  if (stored.state != StepState::kDone) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Position position, At(plan, stored));
  if (position.step->take_back == nullptr) return absl::OkStatus();
  GateAnswer answer;
  StepRun run = RunOf(plan, fmt::format("plan.{}.take_back", stored.action), answer);
  run.finish = [&](Connection& connection) -> absl::Status {
    RETURN_IF_ERROR(Mark(connection, plan, stored, StepState::kTakenBack, ""));
    FailPoint("plan_applied");
    return absl::OkStatus();
  };
  const absl::Status taken = position.step->take_back(run);
  if (taken.ok() || absl::IsCancelled(taken) || IsPassing(taken)) return taken;
  const std::string why =
      IsPreFlightRefusal(taken) ? ProgressText(answer, plan, /*is_open=*/false) : std::string(StatusMessage(taken));
  // What a TVS node has to answer for first is waited for.
  if (IsWaits(taken)) {
    RETURN_IF_ERROR(MarkNow(plan, stored, StepState::kDone, "not taken back yet: " + why).status());
    return Unavailable("step {} is not taken back yet: {}", stored.number, why);
  }
  const std::string& by_hand = position.step->words.by_hand;
  stays.push_back(fmt::format("step {} stays as it is: {}{}", stored.number, why,
                              by_hand.empty() ? "" : fmt::format("; by hand: {}", by_hand)));
  return MarkNow(plan, stored, StepState::kDone, "not taken back: " + why).status();
}

absl::StatusOr<bool> PlanEngine::AdvanceAbort(const StoredPlan& plan) {
  std::vector<std::string> stays;
  for (auto step = plan.steps.rbegin(); step != plan.steps.rend(); ++step) {
    RETURN_IF_ERROR(TakeBack(plan, *step, stays));
    FailPoint("plan_taken_back");
  }
  std::string reason = stays.empty() ? "all of its changes were taken back" : absl::StrJoin(stays, "; ");
  if (const PlanKindSteps* const kind = FindPlanKind(plan.kind); kind != nullptr && kind->left_by_abort) {
    ASSIGN_OR_RETURN(const std::string left, kind->left_by_abort(parts_, plan));
    if (!left.empty()) reason += "; but " + left;
  }
  RETURN_IF_ERROR(RunInTransaction(parts_.pool, {}, [&](Connection& connection) -> absl::Status {
    PlanStore store(connection, plan.cluster_id);
    RETURN_IF_ERROR(store.Lock(plan.number));
    ASSIGN_OR_RETURN(const StoredPlan now, store.Find(plan.number));
    if (now.state != PlanState::kRunning || !now.aborting) return absl::CancelledError("the plan has moved on");
    for (const StoredStep& step : now.steps) {
      if (step.state != StepState::kWaiting && step.state != StepState::kFailed) continue;
      RETURN_IF_ERROR(
          store.SetStep(plan.number, step.number, StepState::kSkipped, "the plan was aborted", parts_.clock.Now()));
    }
    RETURN_IF_ERROR(store.SetState(plan.number, PlanState::kAborted, reason, parts_.clock.Now()));
    return AppendAudit(
        connection,
        {.cluster_id = plan.cluster_id,
         .actor = plan.made_by,
         .action = "plan.aborted",
         .subject = fmt::format("plan {}", plan.number),
         .detail = {{"kind", std::string(PlanKindText(plan.kind))}, {"of", plan.subject}, {"outcome", reason}}});
  }));
  log_.Info("PLAN_ABORTED", "a plan was aborted",
            {{"cluster", plan.cluster}, {"plan", plan.number}, {"outcome", reason}});
  return false;
}

}  // namespace trustline
