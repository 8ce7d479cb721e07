// The address that certificates send phones to for CRLs.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace trustline {

// The URL without slashes at its end. InvalidArgument, beginning with the URL, unless it is http://HOST or
// http://HOST:PORT with a plain path at most, of 200 characters.
absl::StatusOr<std::string> CheckPublicUrl(std::string url);

}  // namespace trustline
