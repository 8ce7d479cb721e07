// Issuances as they stand in gRPC messages.
#pragma once

#include <optional>

#include "absl/status/statusor.h"
#include "ca/issuance/issuance_list.h"
#include "ca/issuance/issuance_store.h"
#include "proto/issuance.pb.h"

namespace trustline {

v1::IssuedCertificate ToProto(const IssuanceRecord& record);

// InvalidArgument for UNSPECIFIED and for numbers that no reason has.
absl::StatusOr<RevocationReason> FromProto(v1::CertificateRevocationReason reason);

// InvalidArgument for prefixes that are not what they should be.
absl::StatusOr<IssuanceFilter> ReadFilter(const v1::ListCertificatesRequest& request);

// Whole bytes from hexadecimal digits. InvalidArgument naming `what`.
absl::StatusOr<std::string> ReadHex(std::string_view text, std::string_view what);

// Any number of hexadecimal digits, in lower case. InvalidArgument naming `what`.
absl::StatusOr<std::string> ReadDigits(std::string_view text, std::string_view what);

}  // namespace trustline
