// The trust store's records as gRPC messages, and back.
#pragma once

#include <google/protobuf/repeated_field.h>

#include <vector>

#include "absl/status/statusor.h"
#include "common/device/certificate_role.h"
#include "itl/trust_store/trust_entry.h"
#include "proto/trust_store.pb.h"

namespace trustline {

v1::TrustedCertificate ToProto(const TrustedCertificate& certificate);
v1::Crl ToProto(const TrustedCrl& crl);

// InvalidArgument for a role that does not exist or is not given.
absl::StatusOr<std::vector<CertificateRole>> RolesFromProto(const google::protobuf::RepeatedField<int>& roles);

}  // namespace trustline
