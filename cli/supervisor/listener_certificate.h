// The certificates of listeners that the trust store vouches for, made before their daemons first run.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/profile/phone_facing.h"
#include "cli/supervisor/data_directory.h"
#include "cli/supervisor/system_user.h"
#include "common/service/identity_files.h"

namespace trustline {

// capfd's directory with capf.crt, capf.key and passphrase, whole or not at all; nothing happens when it is there.
// Before it is, itld at `itld` is asked, as an administrator, to trust the certificate with role CAPF on the cluster
// "default", and to list it: phones know CAPF by their trust lists. A start that was ended between the two goes on with
// the certificate that it left; one that an administrator removed from the trust store later is never added again.
absl::Status EnsureCapfDirectory(const DataPaths& paths, const SystemUsers& users, const PhoneFacingSubject& subject,
                                 const std::string& itld, const IdentityFiles& administrator, absl::Time now,
                                 const std::function<void(std::string_view)>& progress);

// The same for provisiond's directory with provisiond.crt, provisiond.key and passphrase. Its role is APP-SERVER, and
// it is not listed: phones ask TVS for it.
absl::Status EnsureProvisiondDirectory(const DataPaths& paths, const SystemUsers& users,
                                       const PhoneFacingSubject& subject, const std::string& itld,
                                       const IdentityFiles& administrator, absl::Time now,
                                       const std::function<void(std::string_view)>& progress);

}  // namespace trustline
