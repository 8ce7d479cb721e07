// A certificate signing request from a file.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace trustline {

// The bytes of the file, or of the only block with a request's label when it has PEM. What they are is for cad to
// judge, so that a refusal stands in the audit log. Errors name the file.
absl::StatusOr<std::string> ReadCertificateRequest(const std::string& path);

}  // namespace trustline
