// Enrolment as it stands in gRPC messages (proto/enrolment.proto).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "capf/enrolment_policy.h"
#include "capf/operation.h"
#include "proto/enrolment.pb.h"

namespace trustline {

v1::CertificateOperation ToProto(CapfOperation operation);
v1::OperationState ToProto(OperationState state);
v1::EnrolmentAuthentication ToProto(EnrolmentAuthentication authentication);
// Only what the order makes use of.
v1::KeySpecification ToProto(const KeyPlan& plan);
v1::EnrolmentPolicy ToProto(const EnrolmentPolicy& policy);

// Empty for a value that was not given. InvalidArgument for a number that is none, and for CERTIFICATE_OPERATION_NONE,
// which no device has.
absl::StatusOr<std::optional<CapfOperation>> FromProto(v1::CertificateOperation operation);
absl::StatusOr<std::optional<OperationState>> FromProto(v1::OperationState state);
absl::StatusOr<std::optional<EnrolmentAuthentication>> FromProto(v1::EnrolmentAuthentication authentication);
// What was not given has its default. InvalidArgument for a size or curve that phones do not have, or of the kind of
// key that is not asked for.
absl::StatusOr<KeyPlan> FromProto(const v1::KeySpecification& key);

// The size of a page of a list: 200 when not given. InvalidArgument outside of 1 to 1000.
absl::StatusOr<int32_t> ReadPageSize(int32_t page_size);
// For a token that no list has given.
absl::Status NotAPageToken();

}  // namespace trustline
