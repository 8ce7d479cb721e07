// Whole files of a bounded size.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/posix/unique_fd.h"

namespace trustline {

// NotFound, PermissionDenied or Unavailable from errno: "cannot open PATH: No such file or directory".
absl::Status FileError(std::string_view doing, std::string_view path, int error);

// Everything up to the end of the file; InvalidArgument when that is more than `max_size` bytes. The bytes are read
// into one allocation when the file's size is known before, so that no copies of a secret are left behind.
absl::StatusOr<std::string> ReadAll(const UniqueFd& file, const std::string& path, size_t max_size);

}  // namespace trustline
