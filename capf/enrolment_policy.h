// What holds for a cluster's devices without being scheduled (table capf_policy).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "capf/enrolment_caller.h"
#include "capf/operation.h"
#include "common/postgres/connection.h"

namespace trustline {

struct EnrolmentPolicy {
  // A known device that has nothing scheduled and proves itself by its manufacturer's certificate is enrolled again.
  bool re_enrol_by_mic = false;
  bool allow_expired_mic = false;
  // A proof must cover the session: one that could have been recorded is refused.
  bool require_sudi = false;
  KeyPlan keys;            // of what is enrolled again
  std::string changed_by;  // identity URI; empty: never changed
  std::optional<absl::Time> changed_at;
};

// The fields that are to change.
struct EnrolmentPolicyChange {
  std::optional<bool> re_enrol_by_mic;
  std::optional<bool> allow_expired_mic;
  std::optional<bool> require_sudi;
  std::optional<KeyPlan> keys;
};

// "rsa:2048", "ec:secp384r1", "ec-preferred:secp384r1,rsa:2048": for audit rows.
std::string KeyPlanText(const KeyPlan& plan);

absl::StatusOr<EnrolmentPolicy> ReadEnrolmentPolicy(Connection& connection, int32_t cluster_id);

// Changes and audits it ("capf.policy", with old and new values) in the caller's transaction, which must be
// serializable; what is so already is left, and without any change nothing is audited. InvalidArgument when no field is
// given.
absl::StatusOr<EnrolmentPolicy> ChangeEnrolmentPolicy(Connection& transaction, const EnrolmentCaller& caller,
                                                      const EnrolmentPolicyChange& change);

}  // namespace trustline
