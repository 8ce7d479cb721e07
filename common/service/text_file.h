// Whole files, read and written.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace trustline {

// NotFound, PermissionDenied, or InvalidArgument when it is larger than `max_size` bytes or no plain file; the path is
// named.
absl::StatusOr<std::string> ReadTextFile(const std::string& path, size_t max_size);

// Replaces the file whole or not at all, on disk when it returns. InvalidArgument for what is there and no plain file.
absl::Status WriteFileAtomically(const std::string& path, std::string_view content, mode_t mode);

// Within one folder, in place of any file of the new name; on disk when it returns. NotFound when `from` is not there.
absl::Status RenameFile(const std::string& from, const std::string& to);

// As RenameFile: a second name for the file, which must not exist yet.
absl::Status LinkFile(const std::string& from, const std::string& to);

// OK when there is no such file; on disk when it returns.
absl::Status RemoveFile(const std::string& path);

}  // namespace trustline
