// What a child writes: kept in a file of bounded size, and handed on line by line.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/posix/unique_fd.h"

namespace trustline {

struct ChildLogOptions {
  std::string path;
  size_t max_file_size = 10 * 1024 * 1024;
  int files = 3;  // PATH, PATH.1, PATH.2
};

// Lines longer than 64 KB are split.
class ChildLog {
 public:
  // `on_line` gets each whole line without its end.
  static absl::StatusOr<ChildLog> Open(ChildLogOptions options, std::function<void(std::string_view line)> on_line);

  // Bytes as they come. A full disk loses log lines and nothing else.
  void Append(std::string_view bytes);

  // A line of the supervisor's own about the child.
  void Note(std::string_view line);

  // The last line that was not empty, so that an early end can be explained.
  const std::string& last_line() const { return last_line_; }

 private:
  ChildLog(ChildLogOptions options, std::function<void(std::string_view)> on_line)
      : options_(std::move(options)), on_line_(std::move(on_line)) {}
  absl::Status OpenFile();
  void Rotate();
  void WriteLine(std::string_view line);

  ChildLogOptions options_;
  std::function<void(std::string_view)> on_line_;
  UniqueFd file_;
  size_t size_ = 0;
  std::string partial_;
  std::string last_line_;
};

// Which lines an operator should see at once: of a daemon, whatever is not structured and events of the levels warning
// and error; of PostgreSQL, what it calls FATAL, PANIC or WARNING, but not its refusals while it starts or stops
// (SQLSTATE 57P..), as the supervisor's own question whether it is up causes them.
bool IsImportantDaemonLine(std::string_view line);
bool IsImportantPostgresLine(std::string_view line);

}  // namespace trustline
