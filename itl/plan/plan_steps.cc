#include "itl/plan/plan_steps.h"

#include <algorithm>
#include <utility>

#include "absl/strings/cord.h"
#include "common/postgres/transaction.h"
#include "common/status/status.h"
#include "itl/plan/migration.h"
#include "itl/plan/rollback.h"

namespace trustline {
namespace {

constexpr char kWaits[] = "trustline/plan-waits";

GuardedChange GuardedChangeOf(const StepRun& run) {
  return {.cluster_id = run.plan.cluster_id,
          .actor = run.plan.made_by,
          .action = run.action,
          .subject = fmt::format("plan {}", run.plan.number),
          .reason = run.plan.reason,
          .caution = run.caution,
          .report = run.report,
          .unproven = run.unproven,
          .is_retried = true};
}

}  // namespace

absl::Status Waits(const std::string& what_for) {
  absl::Status status = absl::FailedPreconditionError(what_for);
  status.SetPayload(kWaits, absl::Cord("1"));
  return status;
}

bool IsWaits(const absl::Status& status) { return status.GetPayload(kWaits).has_value(); }

const PlanKindSteps* FindPlanKind(PlanKind kind) {
  static const auto* const kinds = new std::vector<PlanKindSteps>{
      ItlRecoveryRollover(), CallManagerRollover(), TvsRollover(), CapfRollover(), Migration(), Rollback()};
  const auto found =
      std::find_if(kinds->begin(), kinds->end(), [&](const PlanKindSteps& one) { return one.kind == kind; });
  return found == kinds->end() ? nullptr : &*found;
}

PlanStep ResetStep(std::string action) {
  return {
      .action = std::move(action),
      .kind = StepKind::kReset,
      .words = {.title = "Reset the phones that do not hold the new lists, in waves",
                .gate = "all waves are done",
                .way_back = "waves that have not begun are called off; phones take lists that they know at any start"},
      .change = nullptr,
      .take_back = nullptr};
}

PlanStep GateStep(std::string action, const std::string& what) {
  return {.action = std::move(action),
          .kind = StepKind::kGate,
          .words = {.title = "Wait for the phones",
                    .gate = fmt::format("the pre-flight says that no phone loses its way when {}", what),
                    .way_back = "nothing was changed"},
          .change = nullptr,
          .take_back = nullptr};
}

PlanStep PhonesStep(std::string action, const std::string& what) {
  PlanStep step = GateStep(std::move(action), what);
  step.words.gate = "registered phones hold the new lists, and " + step.words.gate;
  step.waits_for_running = true;
  return step;
}

absl::Status ChangeGuarded(const StepRun& run, const std::function<absl::Status(Connection&, ListStore&)>& change) {
  return RunInTransaction(run.parts.pool, {}, [&](Connection& connection) -> absl::Status {
    ListStore store(connection, run.plan.cluster_id);
    RETURN_IF_ERROR(store.LockPolicy().status());
    return run.parts.guard.Run(connection, GuardedChangeOf(run), [&]() -> absl::Status {
      RETURN_IF_ERROR(change(connection, store));
      return run.finish(connection);
    });
  });
}

absl::Status ChangeAndPublishGuarded(const StepRun& run, const Certificate& signer,
                                     const std::function<absl::Status(Connection&, ListStore&)>& change) {
  // Asked before, so that a node that is away just now is waited for instead of ending the plan.
  if (const absl::Status nodes = run.parts.nodes(run.plan.cluster, signer, CertificateRole::kSast); !nodes.ok()) {
    return absl::IsFailedPrecondition(nodes) ? Waits(std::string(StatusMessage(nodes))) : nodes;
  }
  const PublishOrder order = {.filter = {},
                              .actor = run.plan.made_by,
                              .reason = fmt::format("plan {}: {}", run.plan.number, run.plan.reason),
                              .approved = true,
                              .must_publish = true,
                              .without_nodes = {},
                              .signed_by = signer,
                              .action = run.action,
                              .caution = run.caution,
                              .report = run.report,
                              .unproven = run.unproven,
                              .hold = {},
                              .is_retried = true};
  return run.parts.publisher
      .ChangeAndPublish(run.plan.cluster_id, run.plan.cluster, order,
                        [&](Connection& connection, ListStore& store, const StoredPolicy&) -> absl::Status {
                          RETURN_IF_ERROR(change(connection, store));
                          return run.finish(connection);
                        })
      .status();
}

}  // namespace trustline
