#include "capf/operation_record.h"

#include <utility>

#include "common/status/status.h"

namespace trustline {

absl::StatusOr<OperationRecord> ReadOperationRecord(const Row& row) {
  OperationRecord record;
  std::string operation, state, authentication, order, curve;
  std::optional<std::string> salt, hmac;
  RETURN_IF_ERROR(row.Scan(record.id, record.device, operation, state, record.reason, authentication, order,
                           record.keys.rsa_bits, curve, salt, hmac, record.string_is_used, record.end_is_told,
                           record.wrong_strings, record.deadline, record.campaign_id, record.wave, record.scheduled_by,
                           record.scheduled_at, record.started_at, record.ended_at, record.session_address,
                           record.session_until, record.issuance_id));
  ASSIGN_OR_RETURN(record.operation, ParseCapfOperation(operation));
  ASSIGN_OR_RETURN(record.state, ParseOperationState(state));
  ASSIGN_OR_RETURN(record.authentication, ParseEnrolmentAuthentication(authentication));
  ASSIGN_OR_RETURN(record.keys.order, ParseKeyOrder(order));
  ASSIGN_OR_RETURN(record.keys.curve, ParseCapfCurve(curve));
  if (salt && hmac) record.kept = KeptString{*std::move(salt), *std::move(hmac)};
  return record;
}

}  // namespace trustline
