// Where an export goes: the standard output, or a file that appears whole or not at all.
#pragma once

#include <sys/types.h>

#include <memory>
#include <ostream>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace trustline {

class ExportFile {
 public:
  // An empty `path` is `out`. AlreadyExists for a file that is there, unless `replace`;
  // FailedPrecondition for what is no plain file. `mode` as far as the umask lets
  // it.
  static absl::StatusOr<std::unique_ptr<ExportFile>> Create(const std::string& path, bool replace, std::ostream& out,
                                                            mode_t mode = 0666);
  ~ExportFile();  // Removes what was not committed.
  ExportFile(const ExportFile&) = delete;
  ExportFile& operator=(const ExportFile&) = delete;

  absl::Status Write(std::string_view text);

  // Gives the file its name. On disk when it returns.
  absl::Status Commit();

 private:
  ExportFile(std::string path, std::string temporary, int descriptor, bool replace, std::ostream& out);
  absl::Status Flush();
  absl::Status Failed(std::string_view what) const;

  const std::string path_;
  const std::string temporary_;
  int descriptor_;  // -1: the standard output, or committed
  const bool replace_;
  std::ostream& out_;
  std::string buffer_;
};

}  // namespace trustline
