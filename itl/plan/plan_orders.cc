#include "itl/plan/plan_orders.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "common/postgres/transaction.h"
#include "common/service/audit.h"
#include "common/status/status.h"
#include "itl/plan/plan_messages.h"
#include "itl/preflight/preflight_report.h"
#include "itl/reset/reset_orders.h"

namespace trustline {
namespace {

constexpr TransactionOptions kOneState = {.isolation = Isolation::kRepeatableRead, .read_only = true};

absl::Status WrongState(const StoredPlan& plan, std::string_view wanted) {
  return FailedPrecondition("plan {} is {}{}, and {}", plan.number, PlanStateText(plan.state),
                            plan.aborting ? " and is being aborted" : "", wanted);
}

// A step that has failed is tried again; one that waits for an administrator's word has it.
absl::Status GoOn(PlanStore& store, const StoredPlan& plan, absl::Time now) {
  const StoredStep* const current = plan.Current();
  const PlanKindSteps* const kind = FindPlanKind(plan.kind);
  if (current == nullptr || kind == nullptr) return absl::OkStatus();
  if (current->state == StepState::kFailed) {
    return store.SetStep(plan.number, current->number, StepState::kWaiting, "", now);
  }
  for (const PlanStep& step : kind->steps) {
    if (step.action != current->action || step.kind != StepKind::kConfirm) continue;
    if (current->state != StepState::kWaiting || plan.state != PlanState::kPaused) continue;
    return store.SetStep(plan.number, current->number, StepState::kDone, "confirmed by an administrator", now);
  }
  return absl::OkStatus();
}

// The reset that the plan's step has ordered pauses and goes on with it; one that has stopped is tried again with it.
absl::Status ChangeReset(Connection& connection, const StoredPlan& plan, v1::ChangePlanRequest::Change change,
                         const std::string& actor, absl::Time now) {
  const StoredStep* const current = plan.Current();
  if (current == nullptr || current->reset_id == 0) return absl::OkStatus();
  ResetOrders resets(connection, plan.cluster_id);
  ASSIGN_OR_RETURN(const ResetRecord reset, resets.Find(current->reset_id));
  const bool rests = reset.state == ResetState::kPaused || reset.state == ResetState::kStopped;
  if (change == v1::ChangePlanRequest::CHANGE_PAUSE && reset.state == ResetState::kRunning) {
    return resets.Pause(reset.id, fmt::format("plan {} is paused", plan.number), actor).status();
  }
  // A plan that runs is only told whom it does not wait for.
  if (change == v1::ChangePlanRequest::CHANGE_RESUME && rests && plan.state != PlanState::kRunning) {
    return resets.Resume(reset.id, fmt::format("plan {} goes on", plan.number), actor, now).status();
  }
  return absl::OkStatus();
}

bool WaitsForRunningPhones(const StoredPlan& plan) {
  const PlanKindSteps* const kind = FindPlanKind(plan.kind);
  return kind != nullptr && std::any_of(kind->steps.begin(), kind->steps.end(),
                                        [](const PlanStep& step) { return step.waits_for_running; });
}

// The plan is locked. What it is audited as.
absl::StatusOr<std::string> Apply(PlanStore& store, const StoredPlan& plan, const v1::ChangePlanRequest& request,
                                  const std::optional<UnprovenPhones>& accepted, absl::Time now) {
  if (plan.ended_at) return WrongState(plan, "has ended");
  if (request.has_go_without() && !WaitsForRunningPhones(plan)) {
    return InvalidArgument("a plan \"{}\" waits for no phones because they are registered: leave out --go-without",
                           PlanKindText(plan.kind));
  }
  const auto set = [&](PlanState state, std::string_view reason) {
    return store.SetState(plan.number, state, reason, std::nullopt);
  };
  switch (request.change()) {
    case v1::ChangePlanRequest::CHANGE_RUN:
      if (plan.state != PlanState::kMade) return WrongState(plan, "only one that has not begun is run: resume it");
      RETURN_IF_ERROR(set(PlanState::kRunning, ""));
      break;
    case v1::ChangePlanRequest::CHANGE_PAUSE:
      if (plan.state != PlanState::kRunning || plan.aborting) return WrongState(plan, "only one that runs is paused");
      RETURN_IF_ERROR(set(PlanState::kPaused, request.reason()));
      return std::string("plan.pause");
    case v1::ChangePlanRequest::CHANGE_RESUME:
      if (plan.state == PlanState::kMade) return WrongState(plan, "has not begun: run it");
      if (plan.state == PlanState::kRunning && !request.has_accept_unproven() && !request.has_go_without()) {
        return WrongState(plan, "goes on by itself");
      }
      if (plan.aborting) return WrongState(plan, "does not go on");
      RETURN_IF_ERROR(GoOn(store, plan, now));
      RETURN_IF_ERROR(set(PlanState::kRunning, ""));
      break;
    case v1::ChangePlanRequest::CHANGE_ABORT:
      if (!plan.aborting) RETURN_IF_ERROR(store.BeginAbort(plan.number));
      return std::string("plan.abort");
    default:
      return InvalidArgument("say what is to become of the plan: run, pause, resume or abort");
  }
  if (accepted) RETURN_IF_ERROR(store.AddAccepted(plan.number, *accepted));
  if (request.has_go_without()) RETURN_IF_ERROR(store.SetGoesWithout(plan.number, request.go_without()));
  return std::string(request.change() == v1::ChangePlanRequest::CHANGE_RUN ? "plan.run" : "plan.resume");
}

// Whom the administrator means who accepts so many unproven phones: exactly those for whom the plan waits now.
absl::StatusOr<std::optional<UnprovenPhones>> ChooseAccepted(PlanEngine& engine, const TrustStoreCaller& caller,
                                                             const v1::ChangePlanRequest& request) {
  if (!request.has_accept_unproven() && !request.has_go_without()) return std::nullopt;
  if (request.change() != v1::ChangePlanRequest::CHANGE_RUN &&
      request.change() != v1::ChangePlanRequest::CHANGE_RESUME) {
    return InvalidArgument("phones that a plan does not wait for are named by number when it is run or resumed");
  }
  if (request.accept_unproven() < 0 || request.go_without() < 0) {
    return InvalidArgument("a number of phones is 0 or more");
  }
  if (!request.has_accept_unproven()) return std::nullopt;
  StoredPlan plan;
  RETURN_IF_ERROR(RunInTransaction(engine.parts().pool, kOneState, [&](Connection& connection) -> absl::Status {
    PlanStore store(connection, caller.cluster_id);
    ASSIGN_OR_RETURN(plan, FindPlan(store, request.number()));
    return absl::OkStatus();
  }));
  ASSIGN_OR_RETURN(GateAnswer answer, engine.Ask(plan));
  const int64_t unproven = std::ssize(answer.unproven);
  if (answer.report.phones() > 0 && unproven == request.accept_unproven()) return std::move(answer.unproven);
  for (const v1::PreFlight::Count& count : answer.report.counts()) {
    if (unproven > 0 || count.verdict() != v1::PHONE_VERDICT_LOCKED) continue;
    return FailedPrecondition(
        "plan {} waits for phones that would be locked out ({}), and no number accepts those: `trustctl plan show {}` "
        "says what makes them safe",
        plan.number, count.reason(), plan.number);
  }
  if (unproven == 0) {
    return FailedPrecondition(
        "plan {} waits for no unproven phones now, so that {} could be anybody: say --accept-unproven when it does "
        "(`trustctl plan show {}`), with the number of that time",
        plan.number, request.accept_unproven(), plan.number);
  }
  return FailedPrecondition(
      "{} unproven now, not {}: look at them (`trustctl plan show`), then say --accept-unproven {}",
      unproven == 1 ? "1 phone is" : fmt::format("{} phones are", unproven), request.accept_unproven(), unproven);
}

}  // namespace

absl::StatusOr<StoredPlan> FindPlan(PlanStore& store, int64_t number) {
  if (number == 0) return store.FindOpen();
  if (number < 0 || number > std::numeric_limits<int32_t>::max()) {
    return NotFound("there is no plan {}: `trustctl plan list --all` shows them", number);
  }
  return store.Find(static_cast<int32_t>(number));
}

absl::StatusOr<StoredPlan> MakePlan(PlanEngine& engine, const TrustStoreCaller& caller,
                                    const v1::MakePlanRequest& request) {
  const PlanParts& parts = engine.parts();
  ASSIGN_OR_RETURN(StoredPlan plan, FromProto(request, parts.hooks));
  plan.cluster_id = caller.cluster_id;
  plan.cluster = caller.cluster;
  plan.made_by = caller.actor;
  return RunInTransaction(parts.pool, {}, [&](Connection& connection) -> absl::StatusOr<StoredPlan> {
    StoredPlan filled = plan;
    RETURN_IF_ERROR(FindPlanKind(plan.kind)->make(connection, parts, request, filled));
    PlanStore store(connection, caller.cluster_id);
    ASSIGN_OR_RETURN(const int32_t number, store.Add(filled));
    RETURN_IF_ERROR(AppendAudit(connection, {.cluster_id = caller.cluster_id,
                                             .actor = caller.actor,
                                             .action = "plan.make",
                                             .subject = fmt::format("plan {}", number),
                                             .detail = {{"kind", std::string(PlanKindText(filled.kind))},
                                                        {"of", filled.subject},
                                                        {"reason", filled.reason}}}));
    return store.Find(number);
  });
}

absl::StatusOr<StoredPlan> ChangePlan(PlanEngine& engine, const TrustStoreCaller& caller,
                                      const v1::ChangePlanRequest& request) {
  ASSIGN_OR_RETURN(const std::optional<UnprovenPhones> accepted, ChooseAccepted(engine, caller, request));
  const absl::Time now = engine.parts().clock.Now();
  return RunInTransaction(engine.parts().pool, {}, [&](Connection& connection) -> absl::StatusOr<StoredPlan> {
    PlanStore store(connection, caller.cluster_id);
    ASSIGN_OR_RETURN(const StoredPlan found, FindPlan(store, request.number()));
    RETURN_IF_ERROR(store.Lock(found.number));
    ASSIGN_OR_RETURN(const StoredPlan plan, store.Find(found.number));
    ASSIGN_OR_RETURN(const std::string action, Apply(store, plan, request, accepted, now));
    RETURN_IF_ERROR(ChangeReset(connection, plan, request.change(), caller.actor, now));
    AuditEvent event = {.cluster_id = caller.cluster_id,
                        .actor = caller.actor,
                        .action = action,
                        .subject = fmt::format("plan {}", plan.number),
                        .detail = {{"reason", request.reason()}}};
    if (accepted) {
      event.detail.emplace_back("accept_unproven", fmt::format("{}", accepted->size()));
      std::vector<std::string> devices;
      for (const auto& [device, reason] : *accepted) devices.push_back(device);
      AddNames(devices, event);
    }
    if (request.has_go_without()) event.detail.emplace_back("go_without", fmt::format("{}", request.go_without()));
    RETURN_IF_ERROR(AppendAudit(connection, event));
    return store.Find(plan.number);
  });
}

}  // namespace trustline
