// A certificate signing request from a file.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace trustline {

// The request in DER. The file has it in DER, or in PEM as its only block with a request's label. InvalidArgument,
// which names the file, for anything else: also for a request of more than kMaxCertificateRequestSize bytes or with a
// bad signature.
absl::StatusOr<std::string> ReadCertificateRequest(const std::string& path);

}  // namespace trustline
