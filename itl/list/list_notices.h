// What an administrator should know of a cluster's trust lists, in sentences with the next step.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/postgres/connection.h"
#include "itl/list/list_store.h"

namespace trustline {

// Lists that wait or are refused, blank lists, signers that end within 90 days, listed certificates that phones may not
// make use of, nodes that are in no list, or that none is. At most ten lists and ten certificates are named.
absl::StatusOr<std::vector<std::string>> ListNotices(Connection& connection, int32_t cluster_id,
                                                     const StoredPolicy& policy,
                                                     const std::vector<StoredSigner>& signers,
                                                     const std::vector<StoredList>& lists, absl::Time now);

}  // namespace trustline
