// Ports for whole systems that tests start, several tests at once.
#pragma once

#include <functional>

namespace trustline {

// A value for --port-offset that no other test has until this process ends, and that `is_free` accepts. Every port
// stays below 32,768, where Linux begins to give ports to clients.
int ReservePortOffset(const std::function<bool(int offset)>& is_free);

}  // namespace trustline
