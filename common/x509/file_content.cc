#include "common/x509/file_content.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "common/status/status.h"

namespace trustline {

absl::Status FileError(std::string_view doing, std::string_view path, int error) {
  const std::string text = fmt::format("cannot {} {}: {}", doing, path, std::generic_category().message(error));
  if (error == ENOENT || error == ENOTDIR) return absl::NotFoundError(text);
  if (error == EACCES || error == EPERM || error == EROFS) return absl::PermissionDeniedError(text);
  return absl::UnavailableError(text);
}

absl::StatusOr<std::string> ReadAll(const UniqueFd& file, const std::string& path, size_t max_size) {
  struct stat info = {};
  if (fstat(file.get(), &info) != 0) return FileError("read", path, errno);
  constexpr size_t kChunk = 64 * 1024;
  std::string bytes;
  size_t used = 0;
  // One byte more than expected: reading it is how the end is seen.
  bytes.resize(S_ISREG(info.st_mode) ? std::min(static_cast<size_t>(info.st_size), max_size) + 1 : kChunk);
  while (true) {
    const ssize_t count = read(file.get(), bytes.data() + used, bytes.size() - used);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return FileError("read", path, errno);
    if (count == 0) break;
    used += static_cast<size_t>(count);
    if (used > max_size) return InvalidArgument("{} is larger than the maximum of {} bytes", path, max_size);
    if (used == bytes.size()) bytes.resize(used + std::max(used, kChunk));
  }
  bytes.resize(used);
  return bytes;
}

}  // namespace trustline
