// How a scheduled operation goes on: claimed by a session, given back, ended. Works inside a transaction that the
// caller owns and commits.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "capf/operation_record.h"
#include "common/postgres/connection.h"

namespace trustline {

// An operation is not done by then, or after so many wrong authentication strings: it is over.
inline constexpr char kExpiredReason[] = "it was not done by its deadline: schedule it again";
inline constexpr int kMostWrongStringsOfOperation = 20;

struct NewClaim {
  std::string claim;    // 16 random bytes
  std::string node;     // of this system
  std::string address;  // the phone's
  absl::Time until;     // of its lease
};

// Rows are named by what LockNewest returned, or by a session's claim: then Aborted when the operation is another's.
class OperationProgress {
 public:
  OperationProgress(Connection& transaction, int32_t cluster_id) : connection_(transaction), cluster_id_(cluster_id) {}

  absl::Status Claim(const OperationRecord& locked, const NewClaim& claim, absl::Time now);

  // Audited as done by `actor`.
  absl::Status Expire(const OperationRecord& locked, std::string_view actor, absl::Time now);

  // Counts a wrong authentication string; the one that is too many fails the operation. Returns how many there were.
  absl::StatusOr<int32_t> CountWrongString(const OperationRecord& locked, absl::Time now);

  absl::Status SetIssuance(int64_t operation_id, std::string_view claim, int64_t issuance_id);

  // What is returned is the operation as it is now. One that succeeded has used its authentication string up; its wrong
  // strings are forgotten, and what cad is to be told about it is marked as unsettled.
  absl::StatusOr<OperationRecord> Succeed(int64_t operation_id, std::string_view claim, absl::Time now);
  absl::StatusOr<OperationRecord> Fail(int64_t operation_id, std::string_view claim, std::string_view reason,
                                       absl::Time now);
  absl::StatusOr<OperationRecord> Release(int64_t operation_id, std::string_view claim);

 private:
  Connection& connection_;
  const int32_t cluster_id_;
};

}  // namespace trustline
