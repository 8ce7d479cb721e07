// The names and addresses by which phones may know this machine's TFTP server.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/service/identity_files.h"

namespace trustline {

// In lower case, each once, at most 100: `host`, the name that DNS gives it, localhost, the loopback addresses and all
// of the machine's own but link-local ones.
std::vector<std::string> MachineNames(const std::string& host);

// Asks itld at `itld`, as an administrator, to know the TFTP server of the cluster "default" by these names, unless it
// has names already or the cluster has no such server: an administrator has decided then.
absl::Status EnsureServerNames(const std::string& server, const std::vector<std::string>& names,
                               const std::string& itld, const IdentityFiles& administrator);

}  // namespace trustline
