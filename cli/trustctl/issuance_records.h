// Issued certificates as rows and texts.
#pragma once

#include <google/protobuf/repeated_field.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/output.h"
#include "proto/issuance.grpc.pb.h"

namespace trustline {

std::vector<Column> IssuedCertificateColumns();
Row IssuedCertificateRow(const v1::IssuedCertificate& certificate);

// What names a certificate in a sentence: "3f2a... of SEP001122334455".
std::string IssuedCertificateText(const v1::IssuedCertificate& certificate);

// Walks over the pages of the answer to `request`; at most `limit` certificates unless it is 0. Ends at the first error
// of `visit` with it.
absl::Status ForEachCertificate(Environment& environment, Client<v1::Issuance>& client,
                                v1::ListCertificatesRequest request, int64_t limit,
                                const std::function<absl::Status(const v1::IssuedCertificate&)>& visit);

// A certificate and its issuers in PEM. DataLoss for what is not a certificate.
absl::StatusOr<std::string> ChainToPem(std::string_view der,
                                       const google::protobuf::RepeatedPtrField<std::string>& issuers);

// The issuers as the list "chain" of a record. DataLoss as above.
absl::StatusOr<Record::List> ChainList(const google::protobuf::RepeatedPtrField<std::string>& issuers);

}  // namespace trustline
