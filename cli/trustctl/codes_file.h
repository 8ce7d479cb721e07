// The authentication strings of many devices, in a file: `capf schedule --codes-out`.
#pragma once

#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace trustline {

// CSV with the columns device, authentication_string and deadline, readable for its owner alone. It grows batch by
// batch, so that what was written stays when the command is ended, and another run goes on with it.
class CodesFile {
 public:
  struct Line {
    std::string device;
    std::string authentication_string;
    absl::Time deadline;
  };

  // Makes the file, or takes up what an earlier run has left, which stays as it is until Append. FailedPrecondition for
  // a file that is open to others, or that another run writes; InvalidArgument for one that is something else.
  static absl::StatusOr<std::unique_ptr<CodesFile>> Open(const std::string& path);
  // Removes a file that Open has made and that has nothing in it.
  ~CodesFile();
  CodesFile(const CodesFile&) = delete;
  CodesFile& operator=(const CodesFile&) = delete;

  const std::string& path() const { return path_; }

  // Whose strings stood in it when it was opened. A line that was written half is none.
  const std::unordered_set<std::string>& devices() const { return devices_; }

  // On disk when it returns.
  absl::Status Append(const std::vector<Line>& lines);

 private:
  CodesFile(std::string path, int descriptor, bool is_new)
      : path_(std::move(path)), descriptor_(descriptor), is_new_(is_new) {}
  absl::Status Read();
  absl::Status Failed() const;

  const std::string path_;
  const int descriptor_;
  const bool is_new_;
  size_t whole_size_ = 0;  // up to the end of the last whole line
  std::unordered_set<std::string> devices_;
};

}  // namespace trustline
