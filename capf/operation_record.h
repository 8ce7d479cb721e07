// A row of table capf_operation.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "capf/authentication_string.h"
#include "capf/operation.h"
#include "common/postgres/result.h"

namespace trustline {

struct OperationRecord {
  int64_t id = 0;
  std::string device;
  CapfOperation operation = CapfOperation::kInstall;
  OperationState state = OperationState::kPending;
  std::string reason;
  EnrolmentAuthentication authentication = EnrolmentAuthentication::kString;
  KeyPlan keys;
  std::optional<KeptString> kept;
  bool string_is_used = false;
  bool end_is_told = false;  // of a success
  int32_t wrong_strings = 0;
  absl::Time deadline;
  int32_t campaign_id = 0;
  int32_t wave = 0;
  std::string scheduled_by;
  absl::Time scheduled_at;
  std::optional<absl::Time> started_at;
  std::optional<absl::Time> ended_at;
  std::string session_address;
  std::optional<absl::Time> session_until;  // while in progress
  int64_t issuance_id = 0;                  // 0: none

  bool is_open() const { return state == OperationState::kPending || state == OperationState::kInProgress; }
  // A session works on it. One that is over its time has left it behind.
  bool is_running(absl::Time now) const { return state == OperationState::kInProgress && session_until > now; }
};

#define OPERATION_RECORD_COLUMNS                                                                              \
  "operation_id, device, operation, state, reason, authentication, key_order, rsa_bits, curve, string_salt, " \
  "string_hmac, string_used_at IS NOT NULL, end_told, wrong_strings, deadline, coalesce(campaign_id, 0), "    \
  "coalesce(wave, 0), "                                                                                       \
  "scheduled_by, scheduled_at, started_at, ended_at, coalesce(session_address, ''), session_until, "          \
  "coalesce(issuance_id, 0)"

// Of an operation that ends without success: what was issued for it, and no device has acknowledged, is to be revoked.
// cad may have issued what never came on record here, once a session had begun. A device that goes out of service ends
// its operation in the same way (migration 0017).
#define DISCARD_UNACKNOWLEDGED                                                                                \
  "unsettled = CASE WHEN issuance_id IS NOT NULL OR (operation = 'install' AND started_at IS NOT NULL) THEN " \
  "'discard' END"

// Reads these columns.
absl::StatusOr<OperationRecord> ReadOperationRecord(const Row& row);

}  // namespace trustline
