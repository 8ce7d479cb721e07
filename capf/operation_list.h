// Searches in what was scheduled.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "capf/list_query.h"
#include "common/postgres/connection.h"
#include "proto/enrolment.pb.h"

namespace trustline {

// What an OperationInfo shows, of a row `o` of capf_operation and its certificate's serial number.
#define CAPF_OPERATION_INFO_COLUMNS                                                                                \
  "o.operation_id, o.device, o.operation, o.state, o.reason, o.authentication, o.key_order, o.rsa_bits, o.curve, " \
  "o.deadline, o.scheduled_at, o.scheduled_by, o.started_at, o.ended_at, o.session_address, o.wrong_strings, "     \
  "o.campaign_id, o.wave, (SELECT c.serial FROM issuance c WHERE c.cluster_id = o.cluster_id "                     \
  "AND c.issuance_id = o.issuance_id)"

// Reads these columns; empty when they come from an outer join that found no operation.
absl::StatusOr<std::optional<v1::OperationInfo>> ReadOperationInfo(RowReader& row);

// By device when a prefix is asked for, then the oldest first; else the newest first.
absl::Status ListOperations(Connection& connection, int32_t cluster_id, const v1::ListOperationsRequest& request,
                            v1::ListOperationsResponse& response);

}  // namespace trustline
