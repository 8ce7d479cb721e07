#include "itl/audit/seal_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

#include "common/bytes/bytes.h"
#include "common/posix/unique_fd.h"
#include "common/service/time_text.h"
#include "common/status/status.h"

namespace trustline {
namespace {

// Number (19 digits), hash (64), time (20), two blanks.
constexpr size_t kMaxLineSize = 128;

std::string ErrnoText() { return std::strerror(errno); }

std::optional<Seal> ParseLine(std::string_view line) {
  const size_t first = line.find(' ');
  if (first == std::string_view::npos) return std::nullopt;
  const size_t second = line.find(' ', first + 1);
  if (second != first + 1 + 2 * sizeof(Sha256Digest)) return std::nullopt;
  Seal seal;
  const auto [end, error] = std::from_chars(line.data(), line.data() + first, seal.number);
  if (error != std::errc() || end != line.data() + first || seal.number < 1) return std::nullopt;
  const absl::StatusOr<std::string> hash = FromHex(line.substr(first + 1, second - first - 1));
  if (!hash.ok() || hash->size() != seal.hash.size()) return std::nullopt;
  std::memcpy(seal.hash.data(), hash->data(), seal.hash.size());
  return seal;
}

// The last bytes before `end`, enough for two lines.
absl::StatusOr<std::string> ReadTail(int fd, off_t end, const std::string& path) {
  const off_t begin = end > static_cast<off_t>(2 * kMaxLineSize) ? end - static_cast<off_t>(2 * kMaxLineSize) : 0;
  std::string tail(static_cast<size_t>(end - begin), '\0');
  const ssize_t count = pread(fd, tail.data(), tail.size(), begin);
  if (count != static_cast<ssize_t>(tail.size())) return Internal("cannot read {}: {}", path, ErrnoText());
  return tail;
}

}  // namespace

absl::StatusOr<SealFileReader> SealFileReader::Open(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return SealFileReader(path, std::ifstream(), 0);
    return PermissionDenied("cannot read the seal file {}: {}", path, ErrnoText());
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) return PermissionDenied("cannot open the seal file {}: {}", path, ErrnoText());
  return SealFileReader(path, std::move(file), info.st_size);
}

absl::StatusOr<std::optional<Seal>> SealFileReader::Next() {
  if (rest_ <= 0) return std::optional<Seal>();
  ++line_;
  std::string line;
  while (rest_ > 0) {
    const int c = file_.get();
    if (c == std::ifstream::traits_type::eof()) {
      rest_ = 0;
      break;
    }
    --rest_;
    if (c == '\n') break;
    if (line.size() <= kMaxLineSize) line.push_back(static_cast<char>(c));
  }
  const std::optional<Seal> seal = line.size() > kMaxLineSize ? std::nullopt : ParseLine(line);
  if (!seal) return DataLoss("line {} of the seal file {} is not a seal", line_, path_);
  return seal;
}

SealFile::SealFile(SealFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)), last_(other.last_) {}

SealFile::~SealFile() {
  if (fd_ >= 0) close(fd_);
}

absl::StatusOr<SealFile> SealFile::Open(const std::string& path) {
  // 1. Open for this process alone.
  UniqueFd file(open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return FailedPrecondition("cannot open the seal file {}: {}", path, ErrnoText());
  if (flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    return FailedPrecondition("the seal file {} is in use by another process: each itld needs one of its own", path);
  }
  struct stat info {};
  if (fstat(file.get(), &info) != 0) return Internal("cannot read {}: {}", path, ErrnoText());
  if (!S_ISREG(info.st_mode) || (info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return FailedPrecondition("others may write the seal file {}: chmod 600 {}", path, path);
  }

  // 2. Cut off what a crash left unfinished: a line is one write, so only the last one can be.
  off_t end = info.st_size;
  std::optional<Seal> last;
  if (end > 0) {
    ASSIGN_OR_RETURN(std::string tail, ReadTail(file.get(), end, path));
    const size_t line_end = tail.rfind('\n');
    const size_t unfinished = line_end == std::string::npos ? tail.size() : tail.size() - line_end - 1;
    if (unfinished > kMaxLineSize) return DataLoss("the seal file {} holds something else at its end", path);
    if (unfinished > 0) {
      end -= static_cast<off_t>(unfinished);
      if (ftruncate(file.get(), end) != 0) return Internal("cannot shorten {}: {}", path, ErrnoText());
      tail.resize(tail.size() - unfinished);
    }

    // 3. Read the last whole line.
    if (!tail.empty()) {
      tail.pop_back();
      const size_t before = tail.rfind('\n');
      last = ParseLine(std::string_view(tail).substr(before == std::string::npos ? 0 : before + 1));
      if (!last) {
        return DataLoss("the last line of the seal file {} is not a seal: keep the file as evidence, move it away",
                        path);
      }
    }
  }
  return SealFile(path, file.Release(), last);
}

absl::Status SealFile::Append(const Seal& seal, absl::Time now) {
  if (last_ && seal.number <= last_->number) {
    return FailedPrecondition("the seal file {} is at number {} already, number {} cannot follow", path_, last_->number,
                              seal.number);
  }
  const std::string line = fmt::format("{} {} {}\n", seal.number, ToHex(seal.hash), TimeTextSeconds(now));
  const ssize_t written = write(fd_, line.data(), line.size());
  if (written != static_cast<ssize_t>(line.size())) {
    const absl::Status failure = Unavailable("cannot write the seal file {}: {}", path_,
                                             written < 0 ? ErrnoText() : std::string("the disk is full"));
    // Half a line would make the next one unreadable.
    if (written > 0 && ftruncate(fd_, lseek(fd_, 0, SEEK_END) - written) != 0) {
      return Annotate(failure, "and what was written cannot be taken back");
    }
    return failure;
  }
  if (fsync(fd_) != 0) return Unavailable("cannot write the seal file {} to the disk: {}", path_, ErrnoText());
  last_ = seal;
  return absl::OkStatus();
}

}  // namespace trustline
