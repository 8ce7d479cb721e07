// What `trustline` sets for itself, and by that for its children, before it does anything.
#pragma once

#include "absl/status/status.h"

namespace trustline {

// To be called first in main: /dev/null for standard descriptors that are closed (a pipe of ours would take their
// number otherwise), no end by SIGPIPE when a reader of our output or a peer goes away, and no core dump: this process
// holds keys and passwords. Children inherit the limit, not the rest.
absl::Status PrepareOwnProcess();

}  // namespace trustline
