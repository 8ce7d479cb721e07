#include "cli/supervisor/private_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "common/posix/unique_fd.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr size_t kMaxSmallFile = 1024 * 1024;

absl::Status FromErrno(int error, std::string_view what) {
  const char* words = std::strerror(error);
  switch (error) {
    case ENOENT:
      return NotFound("{}: {}", what, words);
    case EACCES:
    case EPERM:
      return PermissionDenied("{}: {}", what, words);
    default:
      return Internal("{}: {}", what, words);
  }
}

absl::StatusOr<UniqueFd> OpenForReading(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd.valid()) return FromErrno(errno, fmt::format("cannot read {}", path));
  return fd;
}

absl::StatusOr<std::string> ReadAll(const UniqueFd& fd, const std::string& path) {
  std::string content;
  char buffer[4096];
  for (;;) {
    const ssize_t count = read(fd.get(), buffer, sizeof(buffer));
    if (count == 0) return content;
    if (count < 0) {
      if (errno == EINTR) continue;
      return FromErrno(errno, fmt::format("cannot read {}", path));
    }
    content.append(buffer, static_cast<size_t>(count));
    if (content.size() > kMaxSmallFile) return InvalidArgument("{} is larger than {} bytes", path, kMaxSmallFile);
  }
}

}  // namespace

absl::StatusOr<std::string> ReadSmallFile(const std::string& path) {
  ASSIGN_OR_RETURN(const UniqueFd fd, OpenForReading(path));
  return ReadAll(fd, path);
}

absl::StatusOr<std::string> ReadTrustedFile(const std::string& path) {
  struct stat status;
  if (lstat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    return FailedPrecondition("{} must be a plain file, not a link or anything else", path);
  }
  ASSIGN_OR_RETURN(const UniqueFd fd, OpenForReading(path));
  // Again of what was opened: the name may stand for something else by now.
  if (fstat(fd.get(), &status) != 0) return FromErrno(errno, fmt::format("cannot read {}", path));
  if (!S_ISREG(status.st_mode)) return FailedPrecondition("{} is not a plain file", path);
  if (status.st_uid != geteuid() && status.st_uid != 0) {
    return FailedPrecondition("{} belongs to another user than the one who starts: chown {} {}", path, geteuid(), path);
  }
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return FailedPrecondition("{} may be written by others (mode {:04o}): chmod go-w {}", path, status.st_mode & 07777,
                              path);
  }
  return ReadAll(fd, path);
}

absl::Status WriteFileWhole(const std::string& path, std::string_view content, mode_t mode) {
  std::string temporary = path + ".XXXXXX";
  const UniqueFd fd(mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd.valid()) return FromErrno(errno, fmt::format("cannot write {}", path));
  const auto fail = [&](int error) {
    unlink(temporary.c_str());
    return FromErrno(error, fmt::format("cannot write {}", path));
  };
  for (size_t written = 0; written < content.size();) {
    const ssize_t count = write(fd.get(), content.data() + written, content.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail(errno);
    written += static_cast<size_t>(count);
  }
  if (fchmod(fd.get(), mode) != 0 || fsync(fd.get()) != 0) return fail(errno);
  if (rename(temporary.c_str(), path.c_str()) != 0) return fail(errno);
  return SyncDirectory(std::filesystem::path(path).parent_path());
}

absl::Status EnsureDirectory(const std::string& path, mode_t mode, const std::optional<SystemUser>& owner) {
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return FromErrno(errno, fmt::format("cannot make {}", path));
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return FromErrno(errno, fmt::format("cannot use the directory {}", path));
  if (owner && fchown(fd.get(), owner->uid, owner->gid) != 0) {
    return FromErrno(errno, fmt::format("cannot give {} to {}", path, owner->name));
  }
  if (fchmod(fd.get(), mode) != 0) return FromErrno(errno, fmt::format("cannot set the mode of {}", path));
  return absl::OkStatus();
}

absl::Status SyncDirectory(const std::string& path) {
  const UniqueFd fd(open(path.empty() ? "." : path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid() || fsync(fd.get()) != 0) return FromErrno(errno, fmt::format("cannot sync the directory {}", path));
  return absl::OkStatus();
}

absl::Status RenameDurably(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) != 0) return FromErrno(errno, fmt::format("cannot rename {} to {}", from, to));
  return SyncDirectory(std::filesystem::path(to).parent_path());
}

absl::Status RemoveTree(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) return Internal("cannot remove {}: {}", path, error.message());
  return absl::OkStatus();
}

bool FileExists(const std::string& path) {
  struct stat status;
  return lstat(path.c_str(), &status) == 0;
}

}  // namespace trustline
