// The end of locks after wrong authentication strings.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "capf/enrolment_caller.h"
#include "common/postgres/connection.h"

namespace trustline {

// Forgets the wrong authentication strings of a device from all addresses and audits it ("capf.unlock") in the caller's
// transaction; how many locks were ended by that. NotFound for a device that the cluster does not have, unless it has
// sent wrong strings.
absl::StatusOr<int32_t> UnlockDevice(Connection& transaction, const EnrolmentCaller& caller, std::string_view device,
                                     absl::Time now);

}  // namespace trustline
