// trustctl lsc revoke --superseded: the end of a rollover, in bulk.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "cli/trustctl/environment.h"

namespace trustline {

// Revokes what newer certificates of other authorities supersede, and prints how many.
absl::StatusOr<int> RevokeSuperseded(Environment& environment, int32_t authority_id);

}  // namespace trustline
