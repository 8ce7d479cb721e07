// The data directory of `trustline up`: where everything stands, which version wrote it, and who runs it now.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/supervisor/system_user.h"
#include "common/posix/unique_fd.h"

namespace trustline {

// Of the layout below. A program refuses a directory with a greater number.
inline constexpr int kDataFormat = 1;

// Every path is absolute. A directory that is made in several steps has the suffix ".new" until it is complete, so that
// a start after a crash at any moment finds each part either whole or absent.
struct DataPaths {
  explicit DataPaths(std::string root_path) : root(std::move(root_path)) {}

  std::string root;

  std::string version() const { return root + "/version"; }
  std::string lock() const { return root + "/lock"; }
  std::string postgres() const { return root + "/postgres"; }
  std::string superuser_password() const { return root + "/postgres-superuser.pgpass"; }
  std::string admin() const { return root + "/admin"; }
  std::string itld() const { return root + "/itld"; }
  std::string tvsd() const { return root + "/tvsd"; }
  std::string cad() const { return root + "/cad"; }
  std::string capfd() const { return root + "/capfd"; }
  std::string provisiond() const { return root + "/provisiond"; }
  // What the site says of itself in certificates.
  std::string site() const { return root + "/site.toml"; }
  // What the site adds to a daemon's configuration; not in the daemon's directory, which the daemon can write.
  std::string local_configuration(const std::string& name) const { return root + "/" + name + ".local.toml"; }
  // Only in a directory that `trustline join` made: what it was told.
  std::string joined() const { return root + "/joined.toml"; }
  std::string logs() const { return root + "/log"; }
  std::string log(const std::string& name) const { return root + "/log/" + name + ".log"; }
  std::string run() const { return root + "/run"; }
  std::string pid(const std::string& name) const { return root + "/run/" + name + ".pid"; }
};

enum class DataState : uint8_t {
  kAbsent,  // or empty
  kOurs,
};

// FailedPrecondition for a directory that holds something else, that a newer version wrote, or that belongs to another
// user than the one who starts.
absl::StatusOr<DataState> InspectDataDirectory(const DataPaths& paths);

// FailedPrecondition, naming the first folder that is closed, unless every user in `users` can reach `directory` (or
// its nearest parent that exists). To be called by root.
absl::Status CheckReachable(const std::string& directory, const SystemUsers& users);

// Held while a supervisor runs; the kernel gives it back when the process ends, however it ends.
class DataLock {
 public:
  // FailedPrecondition naming the process that holds it.
  static absl::StatusOr<DataLock> Take(const DataPaths& paths);

 private:
  explicit DataLock(UniqueFd file) : file_(std::move(file)) {}
  UniqueFd file_;
};

// Makes the directory with its version file, log and run; leaves what is there.
absl::Status MakeDataDirectory(const DataPaths& paths);

// Writes the version file: this program's version and the data format.
absl::Status WriteVersion(const DataPaths& paths);

// InvalidArgument, naming file and remedy, unless each private file is there, belongs to `user` (without one: to this
// process's user), is readable for it and closed to everybody else.
absl::Status CheckPrivateFiles(const std::string& directory, const std::vector<std::string>& names,
                               const std::optional<SystemUser>& user);

}  // namespace trustline
