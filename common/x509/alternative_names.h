// The subjectAltName extension (RFC 5280, section 4.2.1.6) of what the system builds.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/x509/openssl_ptr.h"

namespace trustline {

// InvalidArgument for a DNS name with other characters than letters, digits, '.', '-' and '_', and for a URI that is
// not printable ASCII without blanks.
absl::StatusOr<GeneralNamesPtr> MakeAlternativeNames(const std::vector<std::string>& dns_names,
                                                     const std::vector<std::string>& uri_names);

}  // namespace trustline
