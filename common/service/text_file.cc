#include "common/service/text_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "common/posix/unique_fd.h"
#include "common/status/status.h"

namespace trustline {
namespace {

absl::Status FileError(const std::string& path, std::string_view action, int error) {
  const std::string message = fmt::format("cannot {} {}: {}", action, path, std::strerror(error));
  if (error == ENOENT || error == ENOTDIR) return NotFound("{}", message);
  if (error == EACCES || error == EPERM) return PermissionDenied("{}", message);
  return FailedPrecondition("{}", message);
}

absl::Status NameError(const std::string& from, const std::string& to, int error) {
  return FileError(from, fmt::format("give the name {} to", to), error);
}

absl::Status SyncFolderOf(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  const UniqueFd directory(open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.valid() && fsync(directory.get()) != 0) return FileError(folder, "write", errno);
  return absl::OkStatus();
}

// Removes a temporary file unless it was renamed.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::string path) : path_(std::move(path)) {}
  ~TemporaryFile() {
    if (!path_.empty()) unlink(path_.c_str());
  }
  const std::string& path() const { return path_; }
  void Keep() { path_.clear(); }

 private:
  std::string path_;
};

}  // namespace

absl::StatusOr<std::string> ReadTextFile(const std::string& path, size_t max_size) {
  UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.valid()) return FileError(path, "read", errno);
  struct stat facts;
  if (fstat(file.get(), &facts) != 0) return FileError(path, "read", errno);
  if (!S_ISREG(facts.st_mode)) return InvalidArgument("{} is not a plain file", path);
  std::string text;
  char buffer[16384];
  while (true) {
    const ssize_t count = read(file.get(), buffer, sizeof(buffer));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return FileError(path, "read", errno);
    if (count == 0) return text;
    text.append(buffer, static_cast<size_t>(count));
    if (text.size() > max_size) return InvalidArgument("{} is larger than {} bytes", path, max_size);
  }
}

absl::Status WriteFileAtomically(const std::string& path, std::string_view content, mode_t mode) {
  // A file would take the place of a device or a pipe.
  struct stat present;
  if (stat(path.c_str(), &present) == 0 && !S_ISREG(present.st_mode)) {
    return InvalidArgument("{} is not a plain file", path);
  }
  std::string name = path + ".XXXXXX";
  UniqueFd file(mkostemp(name.data(), O_CLOEXEC));
  if (!file.valid()) return FileError(path, "write", errno);
  TemporaryFile temporary(name);
  if (fchmod(file.get(), mode) != 0) return FileError(path, "write", errno);
  while (!content.empty()) {
    const ssize_t count = write(file.get(), content.data(), content.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return FileError(path, "write", errno);
    content.remove_prefix(static_cast<size_t>(count));
  }
  if (fsync(file.get()) != 0 || close(file.Release()) != 0) return FileError(path, "write", errno);
  if (rename(name.c_str(), path.c_str()) != 0) return FileError(path, "write", errno);
  temporary.Keep();
  return SyncFolderOf(path);
}

absl::Status RenameFile(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) != 0) return NameError(from, to, errno);
  return SyncFolderOf(to);
}

absl::Status LinkFile(const std::string& from, const std::string& to) {
  if (link(from.c_str(), to.c_str()) != 0) return NameError(from, to, errno);
  return SyncFolderOf(to);
}

absl::Status RemoveFile(const std::string& path) {
  if (unlink(path.c_str()) == 0) return SyncFolderOf(path);
  return errno == ENOENT ? absl::OkStatus() : FileError(path, "remove", errno);
}

}  // namespace trustline
