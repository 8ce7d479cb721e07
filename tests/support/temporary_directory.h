// A directory of a test's own.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace trustline {

// Made under the folder for temporary files (TMPDIR, /tmp) with a short name (those of Unix sockets are limited to 107
// bytes) and mode 0700; removed with all it holds when destroyed. The constructor throws when it cannot be made, which
// fails the test.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }

  // Writes (or overwrites) a file, making its folders, and returns its path.
  std::string WriteFile(std::string_view name, std::string_view content) const;

 private:
  std::filesystem::path path_;
};

}  // namespace trustline
