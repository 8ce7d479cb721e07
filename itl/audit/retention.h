// Removes old months of the audit log, and leaves a signed checkpoint in their place.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/postgres/connection.h"
#include "common/rpc/identity_authority.h"
#include "itl/audit/checkpoint.h"
#include "itl/audit/verifier.h"

namespace trustline {

struct AuditRetentionRequest {
  absl::Time before;
  int32_t cluster_id = 0;  // of the audit row
  std::string actor;       // identity URI
};

// Retires the months (UTC) that lie entirely before the request's time, in one transaction: it verifies the chain up to
// there, records the checkpoint, removes the rows and their part of the chain, and appends the audit row
// "audit.retire". A month of which rows are chained among rows of the next one stays with it, so the checkpoint's
// retired_before may be earlier than asked. FailedPrecondition, with nothing changed, when the time reaches into the
// current or the previous month (by the database's clock), when rows are not chained yet, when the chain does not
// verify, or when there is nothing to retire; DeadlineExceeded when somebody reads the log for longer than 5 seconds.
// The connection must have no open transaction.
absl::StatusOr<AuditCheckpoint> RetireAuditRows(Connection& connection, const std::string& seal_file,
                                                const IdentityAuthority& authority,
                                                const AuditRetentionRequest& request, const VerifyProgress& progress);

}  // namespace trustline
