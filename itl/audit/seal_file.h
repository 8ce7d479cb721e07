// The record of the audit chain outside of the database: who can rewrite the database cannot rewrite this.
#pragma once

#include <cstdint>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/bytes/sha256.h"

namespace trustline {

// A line "NUMBER HASH TIME": the chain's hash at that number, in hexadecimal, and when it was written (RFC 3339).
struct Seal {
  int64_t number = 0;
  Sha256Digest hash{};
};

// Reads a seal file line by line, so that its size does not matter.
class SealFileReader {
 public:
  // A file that does not exist has no lines. PermissionDenied or Internal when it cannot be read.
  static absl::StatusOr<SealFileReader> Open(const std::string& path);

  // The next line; nothing at the end. DataLoss, naming the line, for one that is not a seal; reading can go on. Lines
  // that were added after Open are not read.
  absl::StatusOr<std::optional<Seal>> Next();

 private:
  SealFileReader(std::string path, std::ifstream file, int64_t size)
      : path_(std::move(path)), file_(std::move(file)), rest_(size) {}
  std::string path_;
  std::ifstream file_;
  int64_t rest_;
  int64_t line_ = 0;
};

// Appends to a seal file; one writer at a time. Not thread-safe.
class SealFile {
 public:
  // Creates the file with mode 0600, or opens it and reads its last line. An unfinished line that a crash left at the
  // end is cut off. FailedPrecondition when another process has it open or others may write it; DataLoss when the last
  // line is not a seal.
  static absl::StatusOr<SealFile> Open(const std::string& path);
  SealFile(SealFile&& other) noexcept;
  SealFile& operator=(SealFile&&) = delete;
  ~SealFile();

  // The newest line.
  const std::optional<Seal>& last() const { return last_; }

  // Writes one line and waits until it is on the disk. FailedPrecondition for a number that is not greater than the
  // last one's.
  absl::Status Append(const Seal& seal, absl::Time now);

 private:
  SealFile(std::string path, int fd, std::optional<Seal> last) : path_(std::move(path)), fd_(fd), last_(last) {}

  std::string path_;
  int fd_;
  std::optional<Seal> last_;
};

}  // namespace trustline
