// Scheduled operations in the database (table capf_operation and those around it, written by capfd alone). Works inside
// a transaction that the caller owns and commits.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "capf/authentication_string.h"
#include "capf/operation.h"
#include "capf/operation_record.h"
#include "common/postgres/connection.h"

namespace trustline {

struct OperationOrder {
  CapfOperation operation = CapfOperation::kInstall;
  EnrolmentAuthentication authentication = EnrolmentAuthentication::kString;
  KeyPlan keys;
  absl::Time deadline;
  std::string scheduled_by;  // identity URI
  int32_t campaign_id = 0;   // 0: of none
  int32_t wave = 0;
};

struct OrderedDevice {
  std::string device;              // as DeviceName gives it
  std::optional<KeptString> kept;  // with kString
};

// What became of one device of an order.
struct ScheduledOperation {
  int64_t operation_id = 0;  // 0: refused
  bool replaced = false;     // an operation that was pending
  std::string refusal;       // in words
};

class OperationStore {
 public:
  OperationStore(Connection& transaction, int32_t cluster_id) : connection_(transaction), cluster_id_(cluster_id) {}

  // Schedules the order for each of at most 1,000 different devices, in place of what is pending for it. Refused, each
  // with its reason: a device that is not known or not in service; fetch and delete for a device that has no
  // certificate in force; a device whose session runs. One result a device, in their order. Audits nothing.
  absl::StatusOr<std::vector<ScheduledOperation>> Schedule(const OperationOrder& order,
                                                           const std::vector<OrderedDevice>& devices, absl::Time now);

  // Takes back what is pending for each device; operation_id 0 without a refusal where nothing was.
  absl::StatusOr<std::vector<ScheduledOperation>> Cancel(const std::vector<std::string>& devices,
                                                         std::string_view reason, absl::Time now);

  // The device's newest operation, its row locked until the transaction ends; empty when there never was one.
  absl::StatusOr<std::optional<OperationRecord>> LockNewest(std::string_view device);

  // Whether a string of the device was ever used up, or its operation failed or expired.
  absl::StatusOr<bool> HasUsedString(std::string_view device);

 private:
  struct Candidate;
  // Finds what refuses each candidate, and locks the operations that are open.
  absl::Status Judge(std::vector<Candidate>& candidates, const OperationOrder& order, absl::Time now);
  // Fills in which open operation, if any, each candidate has.
  absl::Status LockOpen(std::vector<Candidate>& candidates, absl::Time now);
  absl::Status EndOpen(const std::vector<Candidate>& candidates, std::string_view reason, absl::Time now);

  Connection& connection_;
  const int32_t cluster_id_;
};

}  // namespace trustline
