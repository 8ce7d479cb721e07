#include "cli/supervisor/child_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr size_t kMaxLine = 64 * 1024;

}  // namespace

absl::StatusOr<ChildLog> ChildLog::Open(ChildLogOptions options, std::function<void(std::string_view line)> on_line) {
  ChildLog log(std::move(options), std::move(on_line));
  RETURN_IF_ERROR(log.OpenFile());
  return log;
}

absl::Status ChildLog::OpenFile() {
  file_.Reset(open(options_.path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640));
  struct stat status;
  if (!file_.valid() || fstat(file_.get(), &status) != 0) {
    return PermissionDenied("cannot write the log {}: {}", options_.path, std::strerror(errno));
  }
  size_ = static_cast<size_t>(status.st_size);
  return absl::OkStatus();
}

void ChildLog::Rotate() {
  const auto name = [&](int number) {
    return number == 0 ? options_.path : fmt::format("{}.{}", options_.path, number);
  };
  for (int number = options_.files - 1; number > 0; --number) {
    std::rename(name(number - 1).c_str(), name(number).c_str());
  }
  if (options_.files <= 1) unlink(options_.path.c_str());
  // When the new file cannot be made the log goes on in the old one.
  UniqueFd old(file_.Release());
  if (!OpenFile().ok()) file_ = std::move(old);
  size_ = 0;
}

void ChildLog::WriteLine(std::string_view line) {
  std::string text(line);
  text += '\n';
  if (size_ > 0 && size_ + text.size() > options_.max_file_size) Rotate();
  // One write a line, so that a full disk loses whole lines only.
  if (write(file_.get(), text.data(), text.size()) > 0) size_ += text.size();
}

void ChildLog::Append(std::string_view bytes) {
  partial_ += bytes;
  size_t start = 0;
  for (;;) {
    size_t end = partial_.find('\n', start);
    size_t next = end + 1;
    if (end == std::string::npos) {
      if (partial_.size() - start < kMaxLine) break;
      end = next = start + kMaxLine;
    }
    const std::string_view line = std::string_view(partial_).substr(start, end - start);
    WriteLine(line);
    if (!line.empty()) last_line_ = line;
    on_line_(line);
    start = next;
  }
  partial_.erase(0, start);
}

void ChildLog::Note(std::string_view line) {
  if (!partial_.empty()) Append("\n");
  WriteLine(fmt::format("{} supervisor: {}", absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now(), absl::UTCTimeZone()),
                        line));
}

bool IsImportantDaemonLine(std::string_view line) {
  if (line.empty()) return false;
  if (line.front() != '{') return true;
  return line.find("\"level\":\"warning\"") != std::string_view::npos ||
         line.find("\"level\":\"error\"") != std::string_view::npos;
}

bool IsImportantPostgresLine(std::string_view line) {
  if (line.find(" 57P") != std::string_view::npos) return false;
  for (const std::string_view severity : {" FATAL:  ", " PANIC:  ", " WARNING:  "}) {
    if (line.find(severity) != std::string_view::npos) return true;
  }
  return false;
}

}  // namespace trustline
