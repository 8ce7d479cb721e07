// Small files and directories of the data directory, written whole or not at all.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/supervisor/system_user.h"

namespace trustline {

// At most 1 MB. NotFound or PermissionDenied name the file. Symbolic links are not followed.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path);

// The same, of a plain file that belongs to this process's user or to root and that nobody else may write.
// FailedPrecondition names what to do.
absl::StatusOr<std::string> ReadTrustedFile(const std::string& path);

// Writes a temporary file beside it, syncs and renames. The new file belongs to whom this process acts as.
absl::Status WriteFileWhole(const std::string& path, std::string_view content, mode_t mode = 0600);

// Makes the directory (its parent must exist) unless it is there, and gives it this mode and owner.
absl::Status EnsureDirectory(const std::string& path, mode_t mode, const std::optional<SystemUser>& owner = {});

// Flushes the directory's own entries to the disk.
absl::Status SyncDirectory(const std::string& path);

// Renames within one directory and syncs it.
absl::Status RenameDurably(const std::string& from, const std::string& to);

// Removes a file or a whole directory; nothing to remove is OK.
absl::Status RemoveTree(const std::string& path);

bool FileExists(const std::string& path);

}  // namespace trustline
