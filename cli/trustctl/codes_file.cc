#include "cli/trustctl/codes_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "cli/trustctl/csv_table.h"
#include "common/device/device_name.h"
#include "common/service/time_text.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr std::string_view kHeader = "device,authentication_string,deadline\r\n";
constexpr size_t kMaxSize = 64 * 1024 * 1024;
constexpr mode_t kMode = 0600;
constexpr mode_t kOthers = 0077;

absl::Status NoCodesFile(const std::string& path, std::string_view why) {
  return InvalidArgument("{} is there already, and is no file of authentication strings ({}): choose another name",
                         path, why);
}

}  // namespace

absl::StatusOr<std::unique_ptr<CodesFile>> CodesFile::Open(const std::string& path) {
  constexpr int kFlags = O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  int descriptor = open(path.c_str(), kFlags | O_CREAT | O_EXCL, kMode);
  const bool is_new = descriptor >= 0;
  if (!is_new && errno == EEXIST) descriptor = open(path.c_str(), kFlags);
  if (descriptor < 0) {
    return FailedPrecondition("cannot write {}: {}: choose a folder that is there and that you may write to", path,
                              strerror(errno));
  }
  std::unique_ptr<CodesFile> file(new CodesFile(path, descriptor, is_new));
  struct stat about = {};
  if (fstat(descriptor, &about) != 0) return file->Failed();
  if (!S_ISREG(about.st_mode)) return NoCodesFile(path, "no plain file");
  if (about.st_uid != geteuid() || (about.st_mode & kOthers) != 0) {
    return FailedPrecondition("{} is to hold secrets and is open to others: `chmod 600` it, or choose another name",
                              path);
  }
  if (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    return FailedPrecondition("another run writes {}: wait for its end, or choose another name", path);
  }
  RETURN_IF_ERROR(file->Read());
  return file;
}

CodesFile::~CodesFile() {
  if (is_new_ && whole_size_ == 0) unlink(path_.c_str());
  close(descriptor_);
}

absl::Status CodesFile::Read() {
  std::string text;
  char buffer[64 * 1024];
  while (true) {
    const ssize_t count = pread(descriptor_, buffer, sizeof(buffer), static_cast<off_t>(text.size()));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Failed();
    if (count == 0) break;
    text.append(buffer, static_cast<size_t>(count));
    if (text.size() > kMaxSize) return NoCodesFile(path_, "too large");
  }
  if (kHeader.starts_with(text)) return absl::OkStatus();  // nothing yet, or half of that
  text.resize(text.rfind('\n') + 1);                       // 0 when there is no whole line
  absl::StatusOr<CsvTable> table = CsvTable::Open(text);
  if (!table.ok()) return NoCodesFile(path_, StatusMessage(table.status()));
  if (table->header() != std::vector<std::string>{"device", "authentication_string", "deadline"}) {
    return NoCodesFile(path_, "its columns are others");
  }
  while (std::optional<CsvRow> row = table->Next()) {
    if (!row->fault.empty()) return NoCodesFile(path_, fmt::format("line {}: {}", row->line, row->fault));
    const absl::StatusOr<DeviceName> device = DeviceName::Parse(row->fields[0]);
    if (!device.ok()) return NoCodesFile(path_, fmt::format("line {}: {}", row->line, StatusMessage(device.status())));
    devices_.insert(device->text());
  }
  whole_size_ = text.size();
  return absl::OkStatus();
}

absl::Status CodesFile::Append(const std::vector<Line>& lines) {
  std::string text;
  if (whole_size_ == 0) text = kHeader;
  for (const Line& line : lines) {
    text += fmt::format("{},{},{}\r\n", line.device, line.authentication_string, TimeTextSeconds(line.deadline));
  }
  // What an earlier run has written half goes.
  if (ftruncate(descriptor_, static_cast<off_t>(whole_size_)) != 0) return Failed();
  std::string_view rest = text;
  while (!rest.empty()) {
    const ssize_t written = write(descriptor_, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return Failed();
    rest.remove_prefix(static_cast<size_t>(written));
  }
  if (fdatasync(descriptor_) != 0) return Failed();
  whole_size_ += text.size();
  return absl::OkStatus();
}

absl::Status CodesFile::Failed() const { return Unavailable("cannot write {}: {}", path_, strerror(errno)); }

}  // namespace trustline
