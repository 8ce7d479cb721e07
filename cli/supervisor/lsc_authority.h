// The authority that certifies phones (LSC) of a new site.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "common/service/identity_files.h"

namespace trustline {

// Asks cad at `address`, as an administrator, for an authority of the cluster "default" with cad's own settings, and
// activates it, unless there is one in any state. One that an earlier start prepared before it was ended is activated;
// what an administrator did is left alone. `progress` gets a sentence before long work.
absl::Status EnsureLscAuthority(const std::string& address, const IdentityFiles& administrator,
                                const std::function<void(std::string_view)>& progress);

}  // namespace trustline
