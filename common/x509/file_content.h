// Whole files of a bounded size.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace trustline {

// An open file descriptor, closed at the end of its life.
class OpenFile {
 public:
  explicit OpenFile(int descriptor) : descriptor_(descriptor) {}
  ~OpenFile();
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  int get() const { return descriptor_; }
  bool ok() const { return descriptor_ >= 0; }

 private:
  int descriptor_;
};

// NotFound, PermissionDenied or Unavailable from errno: "cannot open PATH: No such file or directory".
absl::Status FileError(std::string_view doing, std::string_view path, int error);

// Everything up to the end of the file; InvalidArgument when that is more than `max_size` bytes. The bytes are read
// into one allocation when the file's size is known before, so that no copies of a secret are left behind.
absl::StatusOr<std::string> ReadAll(const OpenFile& file, const std::string& path, size_t max_size);

}  // namespace trustline
