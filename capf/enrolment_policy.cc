#include "capf/enrolment_policy.h"

#include <string_view>
#include <utility>
#include <vector>

#include "common/service/audit.h"
#include "common/status/status.h"

namespace trustline {
namespace {

using AuditDetail = std::vector<std::pair<std::string, std::string>>;

std::string TextOf(bool value) { return value ? "true" : "false"; }
std::string TextOf(const KeyPlan& keys) { return KeyPlanText(keys); }

template <typename T>
void Change(T& field, const std::optional<T>& value, const char* name, AuditDetail& detail) {
  if (!value || *value == field) return;
  detail.emplace_back(name, TextOf(*value));
  detail.emplace_back(fmt::format("{}_before", name), TextOf(field));
  field = *value;
}

absl::StatusOr<EnrolmentPolicy> ReadRow(const Row& row) {
  EnrolmentPolicy policy;
  std::string order, curve;
  RETURN_IF_ERROR(row.Scan(policy.re_enrol_by_mic, policy.allow_expired_mic, policy.require_sudi, order,
                           policy.keys.rsa_bits, curve, policy.changed_by, policy.changed_at));
  ASSIGN_OR_RETURN(policy.keys.order, ParseKeyOrder(order));
  ASSIGN_OR_RETURN(policy.keys.curve, ParseCapfCurve(curve));
  return policy;
}

}  // namespace

std::string KeyPlanText(const KeyPlan& plan) {
  const std::string_view order = KeyOrderName(plan.order);
  switch (plan.order) {
    case KeyOrder::kRsa:
      return fmt::format("{}:{}", order, plan.rsa_bits);
    case KeyOrder::kEc:
      return fmt::format("{}:{}", order, CapfCurveName(plan.curve));
    case KeyOrder::kEcPreferred:
      return fmt::format("{}:{},rsa:{}", order, CapfCurveName(plan.curve), plan.rsa_bits);
  }
  return "";
}

absl::StatusOr<EnrolmentPolicy> ReadEnrolmentPolicy(Connection& connection, int32_t cluster_id) {
  static constexpr Statement kRead = {
      "read_enrolment_policy",
      "SELECT re_enrol_by_mic, allow_expired_mic, require_sudi, key_order, rsa_bits, curve, changed_by, changed_at "
      "FROM capf_policy WHERE cluster_id = $1"};
  ASSIGN_OR_RETURN(const Result result, connection.Execute(kRead, Parameters().Int64(cluster_id)));
  if (result.empty()) return EnrolmentPolicy();
  return ReadRow(result[0]);
}

absl::StatusOr<EnrolmentPolicy> ChangeEnrolmentPolicy(Connection& transaction, const EnrolmentCaller& caller,
                                                      const EnrolmentPolicyChange& change) {
  static constexpr Statement kWrite = {
      "write_enrolment_policy",
      "INSERT INTO capf_policy (cluster_id, re_enrol_by_mic, allow_expired_mic, require_sudi, key_order, rsa_bits, "
      "curve, changed_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (cluster_id) DO UPDATE SET "
      "re_enrol_by_mic = excluded.re_enrol_by_mic, allow_expired_mic = excluded.allow_expired_mic, "
      "require_sudi = excluded.require_sudi, key_order = excluded.key_order, rsa_bits = excluded.rsa_bits, "
      "curve = excluded.curve, changed_by = excluded.changed_by, changed_at = now() "
      "RETURNING re_enrol_by_mic, allow_expired_mic, require_sudi, key_order, rsa_bits, curve, changed_by, changed_at"};
  if (!change.re_enrol_by_mic && !change.allow_expired_mic && !change.require_sudi && !change.keys) {
    return InvalidArgument("a change of the enrolment policy names at least one setting");
  }
  ASSIGN_OR_RETURN(EnrolmentPolicy policy, ReadEnrolmentPolicy(transaction, caller.cluster_id));
  AuditDetail detail;
  Change(policy.re_enrol_by_mic, change.re_enrol_by_mic, "re_enrol_by_mic", detail);
  Change(policy.allow_expired_mic, change.allow_expired_mic, "allow_expired_mic", detail);
  Change(policy.require_sudi, change.require_sudi, "require_sudi", detail);
  Change(policy.keys, change.keys, "key", detail);
  if (detail.empty()) return policy;

  ASSIGN_OR_RETURN(const Result written, transaction.Execute(kWrite, Parameters()
                                                                         .Int64(caller.cluster_id)
                                                                         .Bool(policy.re_enrol_by_mic)
                                                                         .Bool(policy.allow_expired_mic)
                                                                         .Bool(policy.require_sudi)
                                                                         .Text(KeyOrderName(policy.keys.order))
                                                                         .Int64(policy.keys.rsa_bits)
                                                                         .Text(CapfCurveName(policy.keys.curve))
                                                                         .Text(caller.actor)));
  RETURN_IF_ERROR(AppendAudit(transaction, {.cluster_id = caller.cluster_id,
                                            .actor = caller.actor,
                                            .action = "capf.policy",
                                            .subject = caller.cluster,
                                            .detail = std::move(detail)}));
  return ReadRow(written[0]);
}

}  // namespace trustline
