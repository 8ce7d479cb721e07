#include "itl/plan/plan_engine.h"

#include <algorithm>
#include <utility>

#include "common/postgres/transaction.h"
#include "common/service/audit.h"
#include "common/service/fail_point.h"
#include "common/status/status.h"
#include "itl/plan/phones_behind.h"
#include "itl/plan/plan_store.h"
#include "itl/preflight/preflight_report.h"
#include "itl/reset/reset_orders.h"

namespace trustline {
namespace {

constexpr int kNamedInProgress = 5;
constexpr TransactionOptions kOneState = {.isolation = Isolation::kRepeatableRead, .read_only = true};

// Somebody else has changed the plan since it was read.
absl::Status MovedOn() { return absl::CancelledError("the plan has moved on"); }

int64_t CountOf(const v1::PreFlight& report, v1::PhoneVerdict verdict) {
  int64_t phones = 0;
  for (const v1::PreFlight::Count& count : report.counts()) {
    if (count.verdict() == verdict) phones += count.phones();
  }
  return phones;
}

// "1 of these was accepted, which is not all of them: ...".
std::string AcceptanceText(int64_t accepted, int64_t unproven) {
  return fmt::format("; {} of these {} accepted before: `trustctl plan resume --accept-unproven {}` accepts {}",
                     Grouped(accepted), accepted == 1 ? "was" : "were", unproven, unproven == 1 ? "it" : "them all");
}

std::string ResetProgress(const ResetRecord& reset) {
  const std::string hours = reset.hours.ToText();
  const std::string accepted =
      fmt::format("{} of {} phones", Grouped(reset.counts.accepted), Grouped(reset.counts.phones));
  std::string text = fmt::format("reset {}: ", reset.id);
  text += reset.ended_at ? "its hook accepted " + accepted : accepted + " are being reset";
  text += fmt::format(", {} failed", Grouped(reset.counts.failed));
  if (reset.counts.gone > 0) text += fmt::format(", {} left service", Grouped(reset.counts.gone));
  if (reset.ended_at) return text;
  text += fmt::format(", {} wait", Grouped(reset.counts.waiting));
  if (!hours.empty()) text += fmt::format(" ({} only)", hours);
  return text;
}

}  // namespace

bool IsPassing(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) || absl::IsAborted(status) ||
         absl::IsResourceExhausted(status);
}

std::string ProgressText(const GateAnswer& answer, const StoredPlan& plan, bool is_open) {
  const v1::PreFlight& report = answer.report;
  // 1. Who is ready, and by what.
  const int64_t by_list = CountOf(report, v1::PHONE_VERDICT_SAFE_BY_LIST);
  const int64_t by_tvs = CountOf(report, v1::PHONE_VERDICT_SAFE_BY_TVS);
  std::string text = fmt::format("{} of {} phones are ready", Grouped(by_list + by_tvs), Grouped(report.phones()));
  if (by_tvs > 0) text += fmt::format(" ({} by their lists, {} through a TVS)", Grouped(by_list), Grouped(by_tvs));
  if (const int64_t outside = CountOf(report, v1::PHONE_VERDICT_OUTSIDE); outside > 0) {
    text += fmt::format("; {} outside: foreign, or without lists", Grouped(outside));
  }
  if (const int64_t lost = CountOf(report, v1::PHONE_VERDICT_LOST_BEFORE); lost > 0) {
    text += fmt::format("; {} needed help before (`trustctl phones report`)", Grouped(lost));
  }

  // 2. Who is not.
  const auto is_accepted = [&](const auto& phone) {
    return plan.accepted != nullptr && plan.accepted->contains(phone);
  };
  const int64_t unproven = std::ssize(answer.unproven);
  const int64_t accepted = std::count_if(answer.unproven.begin(), answer.unproven.end(), is_accepted);
  const int64_t locked = CountOf(report, v1::PHONE_VERDICT_LOCKED);
  if (locked + unproven == 0) return text;
  std::vector<std::string> names;
  for (const v1::PreFlight::Named& named : report.named()) {
    if (std::ssize(names) == kNamedInProgress) break;
    if (named.verdict() == v1::PHONE_VERDICT_LOCKED) names.push_back(named.device());
  }
  // The report names some only, among which those may be that were accepted.
  for (const auto& phone : answer.unproven) {
    if (std::ssize(names) == kNamedInProgress) break;
    if (is_open || !is_accepted(phone)) names.push_back(phone.first);
  }
  if (is_open) {
    return text + fmt::format("; went on without {}, as accepted: {}", Grouped(unproven), FirstNames(names, unproven));
  }
  const int64_t waited_for = locked + unproven - accepted;
  text += fmt::format("; waits for {}: {}", Grouped(waited_for), FirstNames(names, waited_for));
  for (const v1::PreFlight::Count& count : report.counts()) {
    const bool is_locked = count.verdict() == v1::PHONE_VERDICT_LOCKED;
    if ((!is_locked && count.verdict() != v1::PHONE_VERDICT_UNPROVEN) || count.phones() == 0) continue;
    text += fmt::format("; {} {}: {}", Grouped(count.phones()), is_locked ? "would be locked out" : "unproven",
                        count.reason());
    if (!count.remedy().empty()) text += fmt::format(" ({})", count.remedy());
  }
  return accepted > 0 && accepted < unproven ? text + AcceptanceText(accepted, unproven) : text;
}

absl::StatusOr<StoredPlan> PlanEngine::Read(int32_t cluster_id, int32_t number) {
  return RunInTransaction(parts_.pool, kOneState,
                          [&](Connection& connection) { return PlanStore(connection, cluster_id).Find(number); });
}

absl::StatusOr<PlanEngine::Position> PlanEngine::At(const StoredPlan& plan, const StoredStep& stored) {
  Position position = {.kind = FindPlanKind(plan.kind), .stored = &stored, .step = nullptr};
  if (position.kind == nullptr) {
    return FailedPrecondition("this version of itld cannot do plans of the kind \"{}\"", PlanKindText(plan.kind));
  }
  const auto step = std::find_if(position.kind->steps.begin(), position.kind->steps.end(),
                                 [&](const PlanStep& one) { return one.action == stored.action; });
  if (step == position.kind->steps.end()) {
    return FailedPrecondition("this version of itld does not know the step \"{}\" of plan {}", stored.action,
                              plan.number);
  }
  position.step = &*step;
  return position;
}

absl::Status PlanEngine::Mark(Connection& connection, const StoredPlan& plan, const StoredStep& step, StepState state,
                              const std::string& progress) {
  PlanStore store(connection, plan.cluster_id);
  RETURN_IF_ERROR(store.Lock(plan.number));
  ASSIGN_OR_RETURN(const StoredPlan now, store.Find(plan.number));
  const StoredStep& same = now.steps[static_cast<size_t>(step.number) - 1];
  if (now.state != PlanState::kRunning || now.aborting != plan.aborting || same.state != step.state) return MovedOn();
  RETURN_IF_ERROR(store.SetStep(plan.number, step.number, state, progress, parts_.clock.Now()));
  if (state == StepState::kWaiting) return absl::OkStatus();
  return AppendAudit(connection, {.cluster_id = plan.cluster_id,
                                  .actor = plan.made_by,
                                  .action = "plan.step",
                                  .subject = fmt::format("plan {}", plan.number),
                                  .detail = {{"kind", std::string(PlanKindText(plan.kind))},
                                             {"of", plan.subject},
                                             {"step", fmt::format("{} {}", step.number, step.action)},
                                             {"state", std::string(StepStateText(state))},
                                             {"progress", progress}}});
}

absl::StatusOr<bool> PlanEngine::MarkNow(const StoredPlan& plan, const StoredStep& step, StepState state,
                                         const std::string& progress) {
  if (step.state == state && step.progress == progress) return false;
  RETURN_IF_ERROR(RunInTransaction(
      parts_.pool, {}, [&](Connection& connection) { return Mark(connection, plan, step, state, progress); }));
  return state != StepState::kWaiting;
}

absl::StatusOr<bool> PlanEngine::Stop(const StoredPlan& plan, const StoredStep& step, const std::string& reason) {
  const std::string next = fmt::format(
      "step {} failed: {}. `trustctl plan resume {}` tries it again when that is put right, `trustctl plan abort {}` "
      "takes back what was done",
      step.number, reason, plan.number, plan.number);
  RETURN_IF_ERROR(RunInTransaction(parts_.pool, {}, [&](Connection& connection) -> absl::Status {
    RETURN_IF_ERROR(Mark(connection, plan, step, StepState::kFailed, reason));
    return PlanStore(connection, plan.cluster_id).SetState(plan.number, PlanState::kStopped, next, std::nullopt);
  }));
  log_.Warning("PLAN_STOPPED", "a plan has stopped by itself: trustctl plan show says where it is",
               {{"cluster", plan.cluster}, {"plan", plan.number}, {"step", step.action}, {"reason", reason}});
  return false;
}

absl::StatusOr<bool> PlanEngine::Finish(const StoredPlan& plan) {
  RETURN_IF_ERROR(RunInTransaction(parts_.pool, {}, [&](Connection& connection) -> absl::Status {
    PlanStore store(connection, plan.cluster_id);
    RETURN_IF_ERROR(store.Lock(plan.number));
    ASSIGN_OR_RETURN(const StoredPlan now, store.Find(plan.number));
    if (now.state != PlanState::kRunning || now.aborting || now.Current() != nullptr) return MovedOn();
    RETURN_IF_ERROR(store.SetState(plan.number, PlanState::kDone, "", parts_.clock.Now()));
    return AppendAudit(connection, {.cluster_id = plan.cluster_id,
                                    .actor = plan.made_by,
                                    .action = "plan.done",
                                    .subject = fmt::format("plan {}", plan.number),
                                    .detail = {{"kind", std::string(PlanKindText(plan.kind))}, {"of", plan.subject}}});
  }));
  log_.Info("PLAN_DONE", "a plan has come to its end",
            {{"cluster", plan.cluster}, {"plan", plan.number}, {"kind", PlanKindText(plan.kind)}});
  return false;
}

absl::StatusOr<bool> PlanEngine::Advance(int32_t cluster_id, int32_t number) {
  ASSIGN_OR_RETURN(const StoredPlan plan, Read(cluster_id, number));
  if (plan.state != PlanState::kRunning) return false;
  absl::StatusOr<bool> moved = false;
  const StoredStep* const current = plan.Current();
  if (plan.aborting) {
    moved = AdvanceAbort(plan);
  } else if (current == nullptr) {
    moved = Finish(plan);
  } else {
    const absl::StatusOr<Position> position = At(plan, *current);
    if (!position.ok()) {
      moved = Stop(plan, *current, std::string(StatusMessage(position.status())));
    } else {
      switch (position->step->kind) {
        case StepKind::kChange:
        case StepKind::kCheck:
          moved = DoChange(plan, *position);
          break;
        case StepKind::kGate:
          moved = DoGate(plan, *position);
          break;
        case StepKind::kReset:
          moved = DoReset(plan, *position);
          break;
        case StepKind::kConfirm:
          moved = DoConfirm(plan, *position);
          break;
      }
    }
  }
  // Whoever was faster has done it.
  if (absl::IsCancelled(moved.status())) return true;
  FailPoint("plan_advanced");
  return moved;
}

absl::StatusOr<bool> PlanEngine::Conclude(const StoredPlan& plan, const StoredStep& step, const absl::Status& status,
                                          const GateAnswer& answer) {
  if (IsWaits(status)) return MarkNow(plan, step, StepState::kWaiting, std::string(StatusMessage(status)));
  if (IsPreFlightRefusal(status)) {
    return MarkNow(plan, step, StepState::kWaiting, ProgressText(answer, plan, /*is_open=*/false));
  }
  if (absl::IsCancelled(status) || IsPassing(status)) return status;
  return Stop(plan, step, std::string(StatusMessage(status)));
}

StepRun PlanEngine::RunOf(const StoredPlan& plan, std::string action, GateAnswer& answer) const {
  Caution caution;
  caution.accepted = plan.accepted;
  return {.parts = parts_,
          .plan = plan,
          .action = std::move(action),
          .caution = std::move(caution),
          .report = &answer.report,
          .unproven = &answer.unproven,
          .finish = [](Connection&) { return absl::OkStatus(); }};
}

absl::StatusOr<bool> PlanEngine::DoChange(const StoredPlan& plan, const Position& position) {
  GateAnswer answer;
  StepRun run = RunOf(plan, "plan." + position.step->action, answer);
  run.finish = [&](Connection& connection) -> absl::Status {
    RETURN_IF_ERROR(Mark(connection, plan, *position.stored, StepState::kDone, ""));
    FailPoint("plan_applied");
    return absl::OkStatus();
  };
  const absl::Status done = position.step->change(run);
  if (!done.ok()) return Conclude(plan, *position.stored, done, answer);
  if (position.step->kind == StepKind::kCheck) return MarkNow(plan, *position.stored, StepState::kDone, "");
  return true;
}

absl::Status PlanEngine::AskGate(const StoredPlan& plan, const Position& position, GateAnswer& answer) {
  const PlanStep* asked = position.step;
  // Its own question, or that of the next change.
  if (asked->change == nullptr) {
    const auto begin = std::find_if(position.kind->steps.begin(), position.kind->steps.end(),
                                    [&](const PlanStep& one) { return one.action == position.step->action; });
    const auto next = std::find_if(begin, position.kind->steps.end(),
                                   [](const PlanStep& one) { return one.kind == StepKind::kChange; });
    if (next == position.kind->steps.end()) return Internal("the step {} waits for no change", asked->action);
    asked = &*next;
  }
  StepRun run = RunOf(plan, "plan." + asked->action, answer);
  run.caution.plan = true;
  const absl::Status status = asked->change(run);
  if (!status.ok() && !IsPlanned(status)) return status;
  const std::string& refusal = answer.report.refusal();
  return refusal.empty() ? absl::OkStatus() : PreFlightRefusal(refusal);
}

absl::StatusOr<std::string> PlanEngine::WaitForRunning(const StoredPlan& plan) {
  ASSIGN_OR_RETURN(const PhonesBehind behind, RunInTransaction(parts_.pool, kOneState, [&](Connection& connection) {
                     return FindPhonesBehind(connection, plan.cluster_id, parts_.keys, parts_.clock.Now());
                   }));
  if (behind.count == 0) return std::string();
  if (behind.count <= plan.goes_without) {
    return fmt::format("; {} registered phone{} with older lists {} not waited for: {}{}", Grouped(behind.count),
                       behind.count == 1 ? "" : "s", behind.count == 1 ? "is" : "are", behind.first,
                       behind.count > kNamedInProgress ? " and more" : "");
  }
  const char* const them = behind.count == 1 ? "it" : "them";
  return Waits(fmt::format(
      "waits for {} registered phone{} with older lists: {}{}; `trustctl phones reset` brings {} the new ones, "
      "`trustctl plan resume --go-without {}` does not wait for {}",
      Grouped(behind.count), behind.count == 1 ? "" : "s", behind.first,
      behind.count > kNamedInProgress ? " and more" : "", them, behind.count, them));
}

absl::StatusOr<bool> PlanEngine::DoGate(const StoredPlan& plan, const Position& position) {
  GateAnswer answer;
  const absl::Status open = AskGate(plan, position, answer);
  if (!open.ok()) return Conclude(plan, *position.stored, open, answer);
  std::string progress = ProgressText(answer, plan, /*is_open=*/true);
  if (position.step->waits_for_running) {
    const absl::StatusOr<std::string> left_out = WaitForRunning(plan);
    if (!left_out.ok()) return Conclude(plan, *position.stored, left_out.status(), answer);
    progress += *left_out;
  }
  return MarkNow(plan, *position.stored, StepState::kDone, progress);
}

absl::StatusOr<GateAnswer> PlanEngine::Ask(const StoredPlan& plan) {
  GateAnswer answer;
  const StoredStep* const current = plan.Current();
  if (current == nullptr || plan.ended_at || plan.aborting) return answer;
  ASSIGN_OR_RETURN(const Position position, At(plan, *current));
  const bool was_refused = position.step->kind == StepKind::kChange && current->state == StepState::kWaiting;
  if (position.step->kind != StepKind::kGate && !was_refused) return answer;
  const absl::Status asked = AskGate(plan, position, answer);
  // What else it waits for stands in its progress.
  const bool has_answer = asked.ok() || IsPreFlightRefusal(asked) || !IsPassing(asked);
  return has_answer ? absl::StatusOr<GateAnswer>(std::move(answer)) : asked;
}

absl::StatusOr<bool> PlanEngine::DoReset(const StoredPlan& plan, const Position& position) {
  const StoredStep& step = *position.stored;
  if (step.reset_id != 0) return FollowReset(plan, step);
  if (!plan.with_resets) {
    return MarkNow(plan, step, StepState::kSkipped,
                   "the plan was made without resets: phones take the lists when they start or are reset by somebody "
                   "else");
  }
  const absl::StatusOr<ResetHook> hook = parts_.hooks.Find(plan.hook);
  if (!hook.ok()) return Stop(plan, step, std::string(StatusMessage(hook.status())));
  // Those that have left for another cluster are nobody's here to reset.
  PhoneFilter own;
  own.statuses = {PhoneStatus::kMatch, PhoneStatus::kMismatch, PhoneStatus::kNotInstalled, PhoneStatus::kUnknown};
  ResetOrder order = {.filter = std::move(own),
                      .out_of_step_only = true,
                      .devices = {},
                      .wave = plan.wave,
                      .hours = {},
                      .stop_at_failures = plan.stop_at_failures,
                      .hook = hook->name,
                      .reason = fmt::format("plan {}: {}", plan.number, plan.reason).substr(0, kLongestResetReason),
                      .plan_id = plan.number};
  ASSIGN_OR_RETURN(order.hours, HoursOfDay::Parse(plan.hours));
  const absl::Status ordered = RunInTransaction(parts_.pool, {}, [&](Connection& connection) -> absl::Status {
    RETURN_IF_ERROR(Mark(connection, plan, step, StepState::kWaiting, "the phones are chosen"));
    ASSIGN_OR_RETURN(const ResetRecord reset,
                     ResetOrders(connection, plan.cluster_id).Order(order, plan.made_by, parts_.clock.Now()));
    RETURN_IF_ERROR(PlanStore(connection, plan.cluster_id).SetReset(plan.number, step.number, reset.id));
    FailPoint("plan_applied");
    return absl::OkStatus();
  });
  if (!ordered.ok()) return Conclude(plan, step, ordered, {});
  return true;
}

absl::StatusOr<bool> PlanEngine::FollowReset(const StoredPlan& plan, const StoredStep& step) {
  ASSIGN_OR_RETURN(const ResetRecord reset, RunInTransaction(parts_.pool, {}, [&](Connection& connection) {
                     return ResetOrders(connection, plan.cluster_id).Find(step.reset_id);
                   }));
  switch (reset.state) {
    case ResetState::kDone:
      return MarkNow(plan, step, StepState::kDone, ResetProgress(reset));
    case ResetState::kAborted:
      return MarkNow(plan, step, StepState::kSkipped,
                     fmt::format("reset {} was aborted: phones take the lists when they start", reset.id));
    case ResetState::kStopped:
      return Stop(
          plan, step,
          fmt::format(
              "reset {0} has stopped: {1}. `trustctl phones resets show {0} --failed` says why; resuming the plan "
              "resumes it, without those that failed",
              reset.id, reset.state_reason));
    case ResetState::kRunning:
    case ResetState::kPaused:
      break;
  }
  return MarkNow(plan, step, StepState::kWaiting,
                 fmt::format("{}{}", ResetProgress(reset),
                             reset.state == ResetState::kPaused ? "; it is paused: " + reset.state_reason : ""));
}

absl::StatusOr<bool> PlanEngine::DoConfirm(const StoredPlan& plan, const Position& position) {
  const std::string& what = position.step->words.gate;
  RETURN_IF_ERROR(RunInTransaction(parts_.pool, {}, [&](Connection& connection) -> absl::Status {
    RETURN_IF_ERROR(Mark(connection, plan, *position.stored, StepState::kWaiting, what));
    return PlanStore(connection, plan.cluster_id).SetState(plan.number, PlanState::kPaused, what, std::nullopt);
  }));
  return false;
}

}  // namespace trustline
