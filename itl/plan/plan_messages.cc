#include "itl/plan/plan_messages.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "common/bytes/bytes.h"
#include "common/rpc/certificate_summary.h"
#include "common/rpc/proto_time.h"
#include "common/service/hours_of_day.h"
#include "common/service/json.h"
#include "common/status/status.h"
#include "common/x509/certificate.h"
#include "itl/plan/plan_steps.h"
#include "itl/reset/reset_orders.h"

namespace trustline {
namespace {

constexpr Statement kCertificate = {"plan_shown_certificate", "SELECT der FROM certificate WHERE sha256 = $1"};
constexpr int32_t kDefaultWave = 200;
constexpr double kDefaultStopAtFailures = 0.05;
// It stands in the reason of each reset, behind the plan's number.
constexpr size_t kLongestReason = kLongestResetReason - 20;

v1::PlanStep ToProto(const StoredStep& step, const PlanKindSteps* kind) {
  v1::PlanStep proto;
  proto.set_number(step.number);
  proto.set_title(step.action);
  if (kind != nullptr) {
    const auto words = std::find_if(kind->steps.begin(), kind->steps.end(),
                                    [&](const PlanStep& one) { return one.action == step.action; });
    if (words != kind->steps.end()) {
      proto.set_title(words->words.title);
      proto.set_gate(words->words.gate);
      proto.set_way_back(words->words.way_back);
    }
  }
  proto.set_state(static_cast<v1::PlanStepState>(step.state));
  proto.set_progress(step.progress);
  if (step.began_at) *proto.mutable_began_at() = ToProtoTime(*step.began_at);
  if (step.ended_at) *proto.mutable_ended_at() = ToProtoTime(*step.ended_at);
  return proto;
}

absl::Status WithoutHook(const absl::Status& status) {
  return {status.code(), fmt::format("{}. Or say that the plan orders no resets (--without-resets): then somebody else "
                                     "resets the phones, or they take the lists when they start",
                                     StatusMessage(status))};
}

}  // namespace

absl::StatusOr<v1::Plan> ToProto(Connection& connection, const StoredPlan& plan) {
  v1::Plan proto;
  proto.set_number(plan.number);
  proto.set_kind(static_cast<v1::PlanKind>(plan.kind));
  proto.set_subject(plan.subject);
  proto.set_state(static_cast<v1::PlanState>(plan.state));
  proto.set_state_reason(plan.state_reason);
  const PlanKindSteps* const kind = FindPlanKind(plan.kind);
  for (const StoredStep& step : plan.steps) *proto.add_steps() = ToProto(step, kind);
  proto.set_reason(plan.reason);
  proto.set_made_by(plan.made_by);
  *proto.mutable_made_at() = ToProtoTime(plan.made_at);
  if (plan.ended_at) *proto.mutable_ended_at() = ToProtoTime(*plan.ended_at);
  if (plan.old_sha256) {
    ASSIGN_OR_RETURN(const Result found, connection.Execute(kCertificate, Parameters().Bytes(*plan.old_sha256)));
    ASSIGN_OR_RETURN(const std::string der, found.Value<std::string>());
    ASSIGN_OR_RETURN(const Certificate old, Certificate::FromDer(AsBytes(der)));
    *proto.mutable_old_certificate() = SummaryOf(old);
  }
  if (!plan.new_certificate.empty()) {
    ASSIGN_OR_RETURN(const Certificate made, Certificate::FromDer(AsBytes(plan.new_certificate)));
    *proto.mutable_new_certificate() = SummaryOf(made);
  }
  proto.set_with_resets(plan.with_resets);
  proto.set_wave(plan.wave);
  proto.set_hours(plan.hours);
  proto.set_stop_at_failures(plan.stop_at_failures);
  proto.set_hook(plan.hook);
  proto.set_accepted_unproven(plan.accepted_unproven);
  proto.set_goes_without(plan.goes_without);
  return proto;
}

absl::StatusOr<StoredPlan> FromProto(const v1::MakePlanRequest& request, const ResetHooks& hooks) {
  if (request.kind() == v1::PLAN_KIND_UNSPECIFIED || !v1::PlanKind_IsValid(request.kind())) {
    return InvalidArgument("there is no kind {} of plans", static_cast<int>(request.kind()));
  }
  StoredPlan plan;
  plan.kind = static_cast<PlanKind>(request.kind());
  const PlanKindSteps* const kind = FindPlanKind(plan.kind);
  if (kind == nullptr) {
    return absl::UnimplementedError(
        fmt::format("this version of itld cannot do plans of the kind \"{}\"", PlanKindText(plan.kind)));
  }
  const std::string& reason = request.reason();
  if (std::none_of(reason.begin(), reason.end(), [](unsigned char c) { return c > ' '; })) {
    return InvalidArgument("say why (--reason): the reason stays on record");
  }
  if (reason.size() > kLongestReason || PrintableText(reason) != reason) {
    return InvalidArgument("a reason is one line of up to {} bytes", kLongestReason);
  }
  plan.reason = reason;
  // Whoever moves by signers is told to reset the phones, when they are pointed elsewhere.
  const bool has_resets = plan.kind != PlanKind::kMigrate || request.blank();
  if (!has_resets && !request.hook().empty()) {
    return InvalidArgument(
        "a move by signers orders no resets: leave out --hook; the plan says when to reset the phones");
  }
  plan.with_resets = has_resets && !request.without_resets();
  plan.wave = request.wave() == 0 ? kDefaultWave : request.wave();
  if (plan.wave < 1 || plan.wave > kLargestResetWave) {
    return InvalidArgument("a wave has 1 to {} phones", kLargestResetWave);
  }
  ASSIGN_OR_RETURN(const HoursOfDay hours, HoursOfDay::Parse(request.hours()));
  plan.hours = hours.ToText();
  plan.stop_at_failures = request.stop_at_failures() == 0 ? kDefaultStopAtFailures : request.stop_at_failures();
  // Not a number is neither.
  if (!(plan.stop_at_failures > 0 && plan.stop_at_failures <= 1)) {
    return InvalidArgument("resets stop at a share of failures from 0 to 1");
  }
  if (plan.with_resets) {
    const absl::StatusOr<ResetHook> hook = hooks.Find(request.hook());
    if (!hook.ok()) return WithoutHook(hook.status());
    plan.hook = hook->name;
  }
  for (const PlanStep& step : kind->steps) {
    StoredStep& stored = plan.steps.emplace_back();
    stored.number = static_cast<int32_t>(plan.steps.size());
    stored.action = step.action;
  }
  return plan;
}

}  // namespace trustline
