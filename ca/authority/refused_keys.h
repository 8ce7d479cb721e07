// What the audit log says when a cad does not open the authorities' keys and therefore does not start.
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "common/service/daemon.h"

namespace trustline {

// Records the refusal as a denied "ca.open_keys" of `actor` on the cluster "default", unless the same refusal was
// recorded within the last hour: a supervisor starts cad again and again. Waits a few seconds at most; when the
// database does not answer, the log has what should have been recorded.
void RecordRefusedKeys(const DaemonContext& context, std::string_view actor, const absl::Status& refusal);

}  // namespace trustline
