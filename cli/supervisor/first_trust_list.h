// The trust list that this site's phones install first.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "ca/profile/phone_facing.h"
#include "cli/supervisor/site_settings.h"
#include "common/service/identity_files.h"

namespace trustline {

// Asks itld at `itld`, as an administrator, for the TFTP server `subject.node` of the cluster "default", unless the
// cluster has trust lists already; a start that was ended before the first list was published goes on with it. Returns
// when it is published; FailedPrecondition with what keeps it.
absl::Status EnsureFirstTrustList(const PhoneFacingSubject& subject, const SiteSettings& settings,
                                  const std::string& itld, const IdentityFiles& administrator,
                                  const std::function<void(std::string_view)>& progress);

}  // namespace trustline
