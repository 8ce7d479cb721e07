// trustctl plan show --watch: what changes in a plan, as it changes.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "cli/trustctl/environment.h"

namespace trustline {

// A line for each change, until the plan does not run any more, Ctrl-C, or for as long as --timeout says. `number` 0:
// the plan that has not ended. kExitSuccess when it is done, kExitFailure otherwise. While itld is away it is asked
// again.
absl::StatusOr<int> WatchPlan(Environment& environment, int64_t number);

}  // namespace trustline
