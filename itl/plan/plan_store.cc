#include "itl/plan/plan_store.h"

#include <algorithm>
#include <array>
#include <utility>

#include "common/bytes/bytes.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr std::array<std::string_view, 6> kKinds = {
    "rollover callmanager", "rollover itlrecovery", "rollover tvs", "rollover capf", "migrate", "rollback"};
constexpr std::array<std::string_view, 6> kStates = {"made", "running", "paused", "stopped", "done", "aborted"};
constexpr std::array<std::string_view, 6> kStepStates = {"ahead", "waiting", "done", "skipped", "failed", "taken back"};

#define PLAN_COLUMNS                                                                                                   \
  "p.cluster_id, c.name, p.plan_id, p.kind, p.subject, p.state, p.state_reason, p.aborting, p.old_sha256, "            \
  "p.new_certificate, p.new_key_name, p.detail, p.blank, p.with_resets, p.wave, p.hours, p.stop_at_failures, p.hook, " \
  "(SELECT count(DISTINCT a.device) FROM trust_plan_accepted a WHERE a.cluster_id = p.cluster_id AND a.plan_id = "     \
  "p.plan_id), "                                                                                                       \
  "p.goes_without, p.reason, p.made_by, p.made_at, p.ended_at"

constexpr Statement kOpen = {"plan_open", "SELECT plan_id FROM trust_plan WHERE cluster_id = $1 AND ended_at IS NULL"};
constexpr Statement kAdd = {
    "plan_add",
    "INSERT INTO trust_plan (cluster_id, kind, subject, state, old_sha256, new_certificate, new_key_name, detail, "
    "blank, with_resets, wave, hours, stop_at_failures, hook, reason, made_by) VALUES ($1, $2, $3, 'made', $4, $5, $6, "
    "$7, $8, $9, $10, $11, $12, $13, $14, $15) RETURNING plan_id"};
constexpr Statement kAddStep = {
    "plan_add_step", "INSERT INTO trust_plan_step (cluster_id, plan_id, step, action) VALUES ($1, $2, $3, $4)"};
constexpr Statement kLock = {"plan_lock", "SELECT 1 FROM trust_plan WHERE cluster_id = $1 AND plan_id = $2 FOR UPDATE"};
constexpr Statement kFind = {"plan_find", "SELECT " PLAN_COLUMNS
                                          " FROM trust_plan p JOIN cluster c ON c.cluster_id = p.cluster_id WHERE "
                                          "p.cluster_id = $1 AND p.plan_id = $2"};
constexpr Statement kList = {"plan_list", "SELECT " PLAN_COLUMNS
                                          " FROM trust_plan p JOIN cluster c ON c.cluster_id = p.cluster_id WHERE "
                                          "p.cluster_id = $1 AND ($2 OR p.ended_at IS NULL) ORDER BY p.plan_id DESC"};
constexpr Statement kSteps = {
    "plan_steps",
    "SELECT plan_id, step, action, state, progress, reset_id, began_at, ended_at FROM trust_plan_step WHERE cluster_id "
    "= $1 AND plan_id = ANY($2) ORDER BY plan_id, step"};
constexpr Statement kSetState = {"plan_set_state",
                                 "UPDATE trust_plan SET state = $3, state_reason = $4, ended_at = $5 WHERE cluster_id "
                                 "= $1 AND plan_id = $2"};
constexpr Statement kBeginAbort = {
    "plan_begin_abort",
    "UPDATE trust_plan SET state = 'running', state_reason = 'it is being aborted', aborting = true WHERE cluster_id = "
    "$1 AND plan_id = $2"};
constexpr Statement kAccepted = {
    "plan_accepted", "SELECT device, reason FROM trust_plan_accepted WHERE cluster_id = $1 AND plan_id = $2"};
constexpr Statement kAddAccepted = {
    "plan_add_accepted",
    "INSERT INTO trust_plan_accepted (cluster_id, plan_id, device, reason) SELECT $1, $2, n.device, n.reason FROM "
    "unnest($3::text[], $4::text[]) AS n(device, reason) ON CONFLICT DO NOTHING"};
constexpr Statement kSetGoesWithout = {
    "plan_set_goes_without", "UPDATE trust_plan SET goes_without = $3 WHERE cluster_id = $1 AND plan_id = $2"};
constexpr Statement kSetNew = {"plan_set_new",
                               "UPDATE trust_plan SET new_sha256 = $3, new_certificate = $4, new_key_name = $5 WHERE "
                               "cluster_id = $1 AND plan_id = $2"};
constexpr Statement kSetStep = {
    "plan_set_step",
    "UPDATE trust_plan_step SET state = $4, progress = $5, began_at = coalesce(began_at, $6), ended_at = CASE WHEN $4 "
    "IN ('ahead', 'waiting') THEN NULL ELSE $6 END WHERE cluster_id = $1 AND plan_id = $2 AND step = $3"};
constexpr Statement kSetReset = {
    "plan_set_reset", "UPDATE trust_plan_step SET reset_id = $4 WHERE cluster_id = $1 AND plan_id = $2 AND step = $3"};
constexpr Statement kRunning = {"plans_running",
                                "SELECT cluster_id, plan_id FROM trust_plan WHERE state = 'running' ORDER BY 1, 2"};

template <typename Enum>
absl::StatusOr<Enum> FromText(const std::array<std::string_view, 6>& texts, std::string_view text) {
  const auto found = std::find(texts.begin(), texts.end(), text);
  if (found == texts.end()) return Internal("the database says {:?} of a plan, which this version does not know", text);
  return static_cast<Enum>(found - texts.begin() + 1);
}

absl::StatusOr<StoredPlan> ReadPlan(const Row& row) {
  StoredPlan plan;
  std::string kind, state;
  RETURN_IF_ERROR(row.Scan(plan.cluster_id, plan.cluster, plan.number, kind, plan.subject, state, plan.state_reason,
                           plan.aborting, plan.old_sha256, plan.new_certificate, plan.new_key_name, plan.detail,
                           plan.blank, plan.with_resets, plan.wave, plan.hours, plan.stop_at_failures, plan.hook,
                           plan.accepted_unproven, plan.goes_without, plan.reason, plan.made_by, plan.made_at,
                           plan.ended_at));
  ASSIGN_OR_RETURN(plan.kind, FromText<PlanKind>(kKinds, kind));
  ASSIGN_OR_RETURN(plan.state, FromText<PlanState>(kStates, state));
  return plan;
}

}  // namespace

std::string_view PlanKindText(PlanKind kind) { return kKinds[static_cast<size_t>(kind) - 1]; }
std::string_view PlanStateText(PlanState state) { return kStates[static_cast<size_t>(state) - 1]; }
std::string_view StepStateText(StepState state) { return kStepStates[static_cast<size_t>(state) - 1]; }

absl::StatusOr<int32_t> PlanStore::Add(const StoredPlan& plan) {
  ASSIGN_OR_RETURN(const Result open, connection_.Execute(kOpen, Parameters().Int64(cluster_id_)));
  if (!open.empty()) {
    ASSIGN_OR_RETURN(const int32_t number, open.Value<int32_t>());
    return FailedPrecondition(
        "plan {0} of this cluster has not ended, and two at once would take each other's ways away: `trustctl plan "
        "show "
        "{0}`; end it (`trustctl plan abort {0}`), or let it run to its end",
        number);
  }
  ASSIGN_OR_RETURN(const Result added, connection_.Execute(kAdd, Parameters()
                                                                     .Int64(cluster_id_)
                                                                     .Text(PlanKindText(plan.kind))
                                                                     .Text(plan.subject)
                                                                     .Bytes(plan.old_sha256)
                                                                     .Bytes(AsBytes(plan.new_certificate))
                                                                     .Text(plan.new_key_name)
                                                                     .Bytes(AsBytes(plan.detail))
                                                                     .Bool(plan.blank)
                                                                     .Bool(plan.with_resets)
                                                                     .Int64(plan.wave)
                                                                     .Text(plan.hours)
                                                                     .Text(fmt::format("{}", plan.stop_at_failures))
                                                                     .Text(plan.hook)
                                                                     .Text(plan.reason)
                                                                     .Text(plan.made_by)));
  ASSIGN_OR_RETURN(const int32_t number, added.Value<int32_t>());
  for (const StoredStep& step : plan.steps) {
    RETURN_IF_ERROR(
        connection_
            .Execute(kAddStep, Parameters().Int64(cluster_id_).Int64(number).Int64(step.number).Text(step.action))
            .status());
  }
  return number;
}

absl::Status PlanStore::Lock(int32_t number) {
  ASSIGN_OR_RETURN(const Result locked, connection_.Execute(kLock, Parameters().Int64(cluster_id_).Int64(number)));
  if (locked.empty()) return NotFound("there is no plan {}: `trustctl plan list --all` shows them", number);
  return absl::OkStatus();
}

absl::StatusOr<StoredPlan> PlanStore::Find(int32_t number) {
  ASSIGN_OR_RETURN(const Result found, connection_.Execute(kFind, Parameters().Int64(cluster_id_).Int64(number)));
  std::vector<StoredPlan> plans;
  for (const Row row : found) {
    ASSIGN_OR_RETURN(StoredPlan plan, ReadPlan(row));
    plans.push_back(std::move(plan));
  }
  if (plans.empty()) return NotFound("there is no plan {}: `trustctl plan list --all` shows them", number);
  RETURN_IF_ERROR(ReadSteps(plans));
  RETURN_IF_ERROR(ReadAccepted(plans.front()));
  return std::move(plans.front());
}

absl::StatusOr<StoredPlan> PlanStore::FindOpen() {
  ASSIGN_OR_RETURN(std::vector<StoredPlan> open, List(/*with_ended=*/false));
  if (open.empty()) {
    return NotFound("no plan is there that has not ended: `trustctl plan list --all` shows those that have");
  }
  RETURN_IF_ERROR(ReadAccepted(open.front()));
  return std::move(open.front());
}

absl::StatusOr<std::vector<StoredPlan>> PlanStore::List(bool with_ended) {
  ASSIGN_OR_RETURN(const Result found, connection_.Execute(kList, Parameters().Int64(cluster_id_).Bool(with_ended)));
  std::vector<StoredPlan> plans;
  for (const Row row : found) {
    ASSIGN_OR_RETURN(StoredPlan plan, ReadPlan(row));
    plans.push_back(std::move(plan));
  }
  RETURN_IF_ERROR(ReadSteps(plans));
  return plans;
}

absl::Status PlanStore::ReadSteps(std::vector<StoredPlan>& plans) {
  std::vector<int64_t> numbers;
  for (const StoredPlan& plan : plans) numbers.push_back(plan.number);
  ASSIGN_OR_RETURN(const Result rows, connection_.Execute(kSteps, Parameters().Int64(cluster_id_).Int64Array(numbers)));
  for (const Row row : rows) {
    int32_t number = 0;
    std::string state;
    StoredStep step;
    RETURN_IF_ERROR(
        row.Scan(number, step.number, step.action, state, step.progress, step.reset_id, step.began_at, step.ended_at));
    ASSIGN_OR_RETURN(step.state, FromText<StepState>(kStepStates, state));
    const auto plan =
        std::find_if(plans.begin(), plans.end(), [&](const StoredPlan& one) { return one.number == number; });
    if (plan != plans.end()) plan->steps.push_back(std::move(step));
  }
  return absl::OkStatus();
}

absl::Status PlanStore::SetState(int32_t number, PlanState state, std::string_view reason,
                                 std::optional<absl::Time> ended) {
  return connection_
      .Execute(kSetState,
               Parameters().Int64(cluster_id_).Int64(number).Text(PlanStateText(state)).Text(reason).Time(ended))
      .status();
}

absl::Status PlanStore::BeginAbort(int32_t number) {
  return connection_.Execute(kBeginAbort, Parameters().Int64(cluster_id_).Int64(number)).status();
}

absl::Status PlanStore::AddAccepted(int32_t number, const UnprovenPhones& phones) {
  std::vector<std::string> devices, reasons;
  for (const auto& [device, reason] : phones) {
    devices.push_back(device);
    reasons.push_back(reason);
  }
  return connection_
      .Execute(kAddAccepted, Parameters().Int64(cluster_id_).Int64(number).TextArray(devices).TextArray(reasons))
      .status();
}

absl::Status PlanStore::ReadAccepted(StoredPlan& plan) {
  if (plan.accepted_unproven == 0) return absl::OkStatus();
  UnprovenPhones phones;
  RETURN_IF_ERROR(connection_.ForEachRow(kAccepted, Parameters().Int64(cluster_id_).Int64(plan.number),
                                         [&](const Row& row) -> absl::Status {
                                           std::string device, reason;
                                           RETURN_IF_ERROR(row.Scan(device, reason));
                                           phones.emplace(std::move(device), std::move(reason));
                                           return absl::OkStatus();
                                         }));
  plan.accepted = std::make_shared<const UnprovenPhones>(std::move(phones));
  return absl::OkStatus();
}

absl::Status PlanStore::SetGoesWithout(int32_t number, int64_t phones) {
  return connection_.Execute(kSetGoesWithout, Parameters().Int64(cluster_id_).Int64(number).Int64(phones)).status();
}

absl::Status PlanStore::SetNew(int32_t number, const Certificate& certificate, std::string_view key_name) {
  return connection_
      .Execute(kSetNew, Parameters()
                            .Int64(cluster_id_)
                            .Int64(number)
                            .Bytes(certificate.sha256())
                            .Bytes(certificate.der())
                            .Text(key_name))
      .status();
}

absl::Status PlanStore::SetStep(int32_t number, int32_t step, StepState state, std::string_view progress,
                                absl::Time now) {
  return connection_
      .Execute(
          kSetStep,
          Parameters().Int64(cluster_id_).Int64(number).Int64(step).Text(StepStateText(state)).Text(progress).Time(now))
      .status();
}

absl::Status PlanStore::SetReset(int32_t number, int32_t step, int32_t reset_id) {
  return connection_.Execute(kSetReset, Parameters().Int64(cluster_id_).Int64(number).Int64(step).Int64(reset_id))
      .status();
}

absl::StatusOr<std::vector<RunningPlan>> RunningPlans(Connection& connection) {
  ASSIGN_OR_RETURN(const Result rows, connection.Execute(kRunning));
  std::vector<RunningPlan> running;
  for (const Row row : rows) {
    RunningPlan& one = running.emplace_back();
    RETURN_IF_ERROR(row.Scan(one.cluster_id, one.number));
  }
  return running;
}

}  // namespace trustline
