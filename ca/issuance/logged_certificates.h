// The other direction of `trustctl ca audit`: from the audit log to what is on record.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/postgres/connection.h"

namespace trustline {

// Tells `found`, a sentence each, of certificates of the cluster of whose issue since `since` the audit log tells, that
// are not on record and whose end is not among those that a purge removed (table issuance_purge), and of those of whose
// revocation it tells, but that are on record as good. `progress` is called again and again, and ends the search by an
// error of its own.
absl::Status CompareWithAuditLog(Connection& connection, int32_t cluster_id, absl::Time since,
                                 const std::function<void(std::string_view)>& found,
                                 const std::function<absl::Status()>& progress);

}  // namespace trustline
