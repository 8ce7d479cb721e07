// What a change that concerns every list costs a site with a thousand TFTP servers.
#pragma once

#include "absl/status/status.h"
#include "tests/benchmarks/report.h"

namespace trustline {

// A thousand ITLs in a real PostgreSQL, each signed, read back, verified and stored with one change in all of them.
absl::Status MeasureListRegeneration(Report& report);

}  // namespace trustline
