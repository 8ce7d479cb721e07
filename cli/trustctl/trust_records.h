// Messages of the trust store and of verification as rows and texts.
#pragma once

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/repeated_field.h>
#include <google/protobuf/timestamp.pb.h>

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/trustctl/output.h"
#include "common/device/certificate_role.h"
#include "proto/trust_store.pb.h"
#include "proto/trust_types.pb.h"

namespace trustline {

void RolesToProto(const std::vector<CertificateRole>& roles, google::protobuf::RepeatedField<int>* field);

// The role's name; empty for unspecified.
Cell RoleCell(v1::CertificateRole role);
Cell RolesCell(const google::protobuf::RepeatedField<int>& roles);
Cell TimestampCell(const google::protobuf::Timestamp& time);
Cell DurationCell(bool present, const google::protobuf::Duration& duration);
google::protobuf::Duration DurationToProto(absl::Duration duration);
google::protobuf::Timestamp TimeToProto(absl::Time time);

// What names a certificate in a sentence: "0123456789abcdef CN=example".
std::string CertificateText(const v1::CertificateSummary& certificate);

// One row an entry (certificate and role); a certificate without entries has one row.
std::vector<Column> TrustedCertificateColumns(bool show_removed);
std::vector<Row> TrustedCertificateRows(const v1::TrustedCertificate& trusted);

// "1 certificate", "2 certificates".
std::string CertificateCountText(int64_t count);

// DER in PEM. DataLoss for what is not a certificate.
absl::StatusOr<std::string> DerToPem(std::string_view der);

}  // namespace trustline
