#include "cli/trustctl/export_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "common/status/status.h"

namespace trustline {
namespace {

constexpr size_t kBufferSize = 256 * 1024;

absl::Status AlreadyThere(const std::string& path) {
  return AlreadyExists("{} exists already: choose another name, or replace it with --force", path);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ExportFile>> ExportFile::Create(const std::string& path, bool replace, std::ostream& out,
                                                               mode_t mode) {
  if (path.empty()) return std::unique_ptr<ExportFile>(new ExportFile("", "", -1, replace, out));
  struct stat present = {};
  if (stat(path.c_str(), &present) == 0) {
    // The new file would take the place of a device or a pipe.
    if (!S_ISREG(present.st_mode)) {
      return FailedPrecondition(
          "{} is no plain file: choose another name, or leave it out and send the standard output there", path);
    }
    if (!replace) return AlreadyThere(path);
  }
  const std::string temporary = fmt::format("{}.new-{}", path, getpid());
  const int descriptor = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (descriptor < 0)
    return FailedPrecondition("cannot write {}: {}: choose a folder that is there and that you may write to", path,
                              strerror(errno));
  return std::unique_ptr<ExportFile>(new ExportFile(path, temporary, descriptor, replace, out));
}

ExportFile::ExportFile(std::string path, std::string temporary, int descriptor, bool replace, std::ostream& out)
    : path_(std::move(path)), temporary_(std::move(temporary)), descriptor_(descriptor), replace_(replace), out_(out) {}

ExportFile::~ExportFile() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  unlink(temporary_.c_str());
}

absl::Status ExportFile::Write(std::string_view text) {
  if (path_.empty()) {
    out_ << text;
    if (!out_) return Failed("cannot write to the standard output");
    return absl::OkStatus();
  }
  buffer_ += text;
  return buffer_.size() < kBufferSize ? absl::OkStatus() : Flush();
}

absl::Status ExportFile::Flush() {
  std::string_view rest = buffer_;
  while (!rest.empty()) {
    const ssize_t written = write(descriptor_, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return Failed("cannot write " + path_);
    rest.remove_prefix(static_cast<size_t>(written));
  }
  buffer_.clear();
  return absl::OkStatus();
}

absl::Status ExportFile::Commit() {
  if (path_.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(Flush());
  if (fsync(descriptor_) != 0) return Failed("cannot write " + path_);
  if (renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(), replace_ ? 0 : RENAME_NOREPLACE) != 0) {
    return errno == EEXIST ? AlreadyThere(path_) : Failed("cannot write " + path_);
  }
  close(std::exchange(descriptor_, -1));
  return absl::OkStatus();
}

absl::Status ExportFile::Failed(std::string_view what) const { return Unavailable("{}: {}", what, strerror(errno)); }

}  // namespace trustline
