// Ports for tests that start a whole site.
#pragma once

#include "cli/supervisor/preconditions.h"
#include "cli/supervisor/settings.h"
#include "tests/support/port_offset.h"

namespace trustline {

// An offset with which every port of a site is free, and that no other test gets until this process ends.
inline int FreePortOffset() {
  return ReservePortOffset([](int offset) {
    const auto ports = Ports::WithOffset(offset);
    return ports.ok() && CheckPortsFree(Listeners(Settings(), *ports, true)).ok();
  });
}

}  // namespace trustline
