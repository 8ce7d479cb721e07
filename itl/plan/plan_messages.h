// Plans as they stand in gRPC messages.
#pragma once

#include "absl/status/statusor.h"
#include "common/postgres/connection.h"
#include "itl/plan/plan_record.h"
#include "itl/reset/reset_hooks.h"
#include "proto/plan.pb.h"

namespace trustline {

// With the words of its steps; reads the certificates.
absl::StatusOr<v1::Plan> ToProto(Connection& connection, const StoredPlan& plan);

// What a request says of any plan: its kind, reason and resets. InvalidArgument; Unimplemented for a kind that this
// version cannot do; errors of ResetHooks::Find for a hook that is not there.
absl::StatusOr<StoredPlan> FromProto(const v1::MakePlanRequest& request, const ResetHooks& hooks);

}  // namespace trustline
