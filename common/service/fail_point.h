// Places where a test can end the process at once, to see what a crash there leaves behind.
#pragma once

#include <string_view>

namespace trustline {

#ifdef TRUSTLINE_FAIL_POINTS
// Sends SIGKILL to this process when the environment variable TRUSTLINE_FAIL_POINT is "NAME" or "NAME:N" and this is
// the Nth time (the first without N).
void FailPoint(std::string_view name);
#else
// Nothing outside of test builds.
inline constexpr void FailPoint(std::string_view) {}
#endif

}  // namespace trustline
