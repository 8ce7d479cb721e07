#include "itl/plan/rollback.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "common/postgres/transaction.h"
#include "common/service/audit.h"
#include "common/status/status.h"
#include "itl/list/list_store.h"
#include "itl/move/move_readiness.h"
#include "itl/plan/lscs_before_move.h"
#include "itl/preflight/preflight_report.h"

namespace trustline {
namespace {

constexpr TransactionOptions kOneState = {.isolation = Isolation::kRepeatableRead, .read_only = true};

constexpr size_t kNamed = 5;

absl::StatusOr<Certificate> Recovery(const StepRun& run) {
  ASSIGN_OR_RETURN(const Pool::Lease lease, run.parts.pool.Acquire());
  ASSIGN_OR_RETURN(std::vector<StoredSigner> signers, ListStore(*lease, run.plan.cluster_id).Signers());
  if (signers.empty() || !signers.front().tftp_server.empty()) {
    return FailedPrecondition("the cluster {} has no trust lists any more", run.plan.cluster);
  }
  return std::move(signers.front().certificate);
}

absl::Status SetBlank(const StepRun& run, bool on) {
  ASSIGN_OR_RETURN(const Certificate signer, Recovery(run));
  return ChangeAndPublishGuarded(run, signer, [&](Connection& connection, ListStore& store) -> absl::Status {
    ASSIGN_OR_RETURN(const std::optional<StoredPolicy> stored, store.ReadPolicy());
    if (!stored) return FailedPrecondition("the cluster {} has no trust lists any more", run.plan.cluster);
    if (stored->policy.blank == on) return absl::OkStatus();
    ListPolicy policy = stored->policy;
    policy.blank = on;
    RETURN_IF_ERROR(store.WritePolicy(policy, run.plan.made_by));
    return AppendAudit(connection,
                       {.cluster_id = run.plan.cluster_id,
                        .actor = run.plan.made_by,
                        .action = on ? "itl.blank.on" : "itl.blank.off",
                        .subject = run.plan.cluster,
                        .detail = {{"reason", fmt::format("plan {}: {}", run.plan.number, run.plan.reason)}}});
  });
}

absl::Status BlankOn(const StepRun& run) { return SetBlank(run, true); }
absl::Status BlankOff(const StepRun& run) { return SetBlank(run, false); }

absl::Status WaitForHolding(const StepRun& run, bool blank) {
  return RunInTransaction(run.parts.pool, kOneState, [&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(const std::optional<StoredPolicy> policy, ListStore(connection, run.plan.cluster_id).ReadPolicy());
    if (!policy || policy->policy.blank != blank) {
      return FailedPrecondition("somebody has made the lists {} meanwhile: abort the plan", blank ? "whole" : "blank");
    }
    return JudgeHolding(connection, run.plan.cluster_id, run.parts.clock.Now(),
                        {run.caution, *run.report, run.unproven});
  });
}

absl::Status MakeRollback(Connection& connection, const PlanParts&, const v1::MakePlanRequest&, StoredPlan& plan) {
  plan.blank = true;
  return CheckCanBeBlanked(connection, plan);
}

absl::StatusOr<std::string> LeftByAbort(const PlanParts& parts, const StoredPlan& plan) {
  ASSIGN_OR_RETURN(const std::string blank, LeftBlank(parts, plan));
  ASSIGN_OR_RETURN(const std::string lscs, LeftWithoutLsc(parts, plan));
  return blank + (blank.empty() || lscs.empty() ? "" : "; ") + lscs;
}

}  // namespace

std::vector<PlanStep> BlankSteps() {
  return {GateStep("blank ready", "the lists are blank"),
          {.action = "blank on",
           .kind = StepKind::kChange,
           .words = {.title = "Publish blank lists: phones that take them trust nobody's HTTPS services (directories, "
                              "extension mobility), ask no TVS, and take any configuration and any list from anybody "
                              "who can answer their TFTP requests",
                     .gate = "the pre-flight is clean, and no other change of the lists waits for an administrator",
                     .way_back = "whole lists are published; phones with a blank list take them"},
           .change = BlankOn,
           .take_back = BlankOff},
          ResetStep("blank reset"),
          HoldingStep("blank held", "the blank lists", /*blank=*/true)};
}

PlanStep WholeStep() {
  return {.action = "blank off",
          .kind = StepKind::kChange,
          .words = {.title = "Publish whole lists again, so that nothing stays open",
                    .gate = "the pre-flight is clean",
                    .way_back = "none is needed: whole lists are what there was before"},
          .change = BlankOff,
          .take_back = nullptr};
}

PlanStep HoldingStep(std::string action, const std::string& what, bool blank) {
  return {.action = std::move(action),
          .kind = StepKind::kGate,
          .words = {.title = fmt::format("Wait until the phones hold {}", what),
                    .gate = "each phone in service was seen to hold them: by its report, which a reset brings",
                    .way_back = "nothing was changed"},
          .change = [blank](const StepRun& run) { return WaitForHolding(run, blank); },
          .take_back = nullptr};
}

absl::StatusOr<std::string> LeftBlank(const PlanParts& parts, const StoredPlan& plan) {
  const bool was_blank = std::any_of(plan.steps.begin(), plan.steps.end(), [](const StoredStep& step) {
    return step.action == "blank on" && (step.state == StepState::kDone || step.state == StepState::kTakenBack);
  });
  if (!was_blank) return std::string();
  v1::PreFlight report;
  UnprovenPhones behind;
  const absl::Status held = RunInTransaction(parts.pool, kOneState, [&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(const std::optional<StoredPolicy> policy, ListStore(connection, plan.cluster_id).ReadPolicy());
    // Still blank: the step that stays says so.
    if (!policy || policy->policy.blank) return absl::OkStatus();
    return JudgeHolding(connection, plan.cluster_id, parts.clock.Now(),
                        {.caution = {}, .report = report, .unproven = &behind});
  });
  if (!held.ok() && !IsPreFlightRefusal(held)) return held;
  if (behind.empty()) return std::string();
  std::vector<std::string> first;
  for (const auto& [device, reason] : behind) {
    if (first.size() < kNamed) first.push_back(device);
  }
  return fmt::format(
      "{} may hold blank lists, with which phones take anything from anybody, until seen with whole ones: {}; reset "
      "them (`trustctl phones reset --out-of-step`)",
      behind.size() == 1 ? "1 phone" : fmt::format("{} phones", behind.size()), FirstNames(first, std::ssize(behind)));
}

absl::Status CheckCanBeBlanked(Connection& connection, const StoredPlan& plan) {
  ASSIGN_OR_RETURN(const std::optional<StoredPolicy> policy, ListStore(connection, plan.cluster_id).LockPolicy());
  if (!policy) {
    return FailedPrecondition(
        "the cluster {} has no trust lists: `trustctl itl server add NAME --host HOST` makes the first", plan.cluster);
  }
  if (policy->policy.blank) {
    return FailedPrecondition(
        "the lists are blank already: `trustctl itl blank off --reason ...` first, so that the plan knows what is to "
        "be "
        "taken back");
  }
  return absl::OkStatus();
}

PlanKindSteps Rollback() {
  std::vector<PlanStep> steps = {LscStep()};
  for (PlanStep& step : BlankSteps()) steps.push_back(std::move(step));
  steps.push_back(
      {.action = "roll back",
       .kind = StepKind::kConfirm,
       .words = {.title = "Roll the call manager back",
                 .gate = "roll the call manager back, point the phones to its TFTP servers (DHCP option 150 "
                         "or 66), and reset them; when they are registered there, `trustctl plan resume` goes "
                         "on",
                 .way_back = "point the phones to these TFTP servers again, and reset them"},
       .change = nullptr,
       .take_back = nullptr});
  steps.push_back(WholeStep());
  steps.push_back(ResetStep("reset"));
  steps.push_back(HoldingStep("held", "the whole lists", /*blank=*/false));
  return {.kind = PlanKind::kRollback, .make = MakeRollback, .steps = std::move(steps), .left_by_abort = LeftByAbort};
}

}  // namespace trustline
