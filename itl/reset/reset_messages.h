// Resets as they stand in gRPC messages.
#pragma once

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "itl/reset/reset_orders.h"
#include "proto/reset.pb.h"

namespace trustline {

// `zone` is the cluster's: outside its hours a running reset waits for them. `reported` as ResetOrders counts them.
v1::Reset ToProto(const ResetRecord& reset, int64_t reported, absl::TimeZone zone, absl::Time now);
v1::ShowResetResponse::PhoneReset ToProto(const ResetPhone& phone);

// Without the hook. InvalidArgument for what no order can be; ResetOrders judges the rest.
absl::StatusOr<ResetOrder> FromProto(const v1::StartResetRequest& request);

}  // namespace trustline
