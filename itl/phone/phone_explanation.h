// Everything that is known of one phone, in words for an administrator, and what to do next.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/postgres/connection.h"
#include "itl/phone/holding_view.h"
#include "itl/phone/phone_reader.h"
#include "proto/phone_trust.pb.h"

namespace trustline {

// NotFound for a device that is not in service and of which nobody has claimed anything. Reads as the caller's
// transaction sees it.
absl::StatusOr<v1::ExplainPhoneResponse> ExplainPhone(Connection& connection, int32_t cluster_id,
                                                      const std::string& device, absl::Time now);

}  // namespace trustline
