#include "cli/supervisor/data_directory.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <system_error>

#include "cli/supervisor/private_file.h"
#include "common/status/status.h"

namespace trustline {
namespace {

namespace fs = std::filesystem;

std::string UserName(uid_t uid) {
  const passwd* user = getpwuid(uid);
  return user == nullptr ? fmt::format("user {}", uid) : std::string(user->pw_name);
}

// "format 1\nprogram 0.1.0\n"
absl::Status CheckVersion(const DataPaths& paths) {
  ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(paths.version()));
  std::istringstream fields(text);
  std::string format_key, program_key, program;
  int format = 0;
  if (!(fields >> format_key >> format >> program_key >> program) || format_key != "format" || format < 1) {
    return FailedPrecondition("{} cannot be understood: restore it from a backup of the data directory",
                              paths.version());
  }
  if (format > kDataFormat) {
    return FailedPrecondition(
        "the data directory {} was written by Trustline {} (data format {}); this is {}, which reads formats up to {}: "
        "start that version or a newer one",
        paths.root, program, format, TRUSTLINE_VERSION, kDataFormat);
  }
  return absl::OkStatus();
}

// The first folder on the way to `directory` that `user` cannot pass; empty when there is none.
absl::StatusOr<std::string> FirstClosedFolder(const fs::path& directory, const SystemUser& user) {
  const ActAs scope(user);
  RETURN_IF_ERROR(scope.status());
  fs::path folder;
  for (const fs::path& part : directory) {
    folder /= part;
    // With the effective user, unlike access().
    if (faccessat(AT_FDCWD, folder.c_str(), X_OK, AT_EACCESS) == 0) continue;
    if (errno == ENOENT) return std::string();
    return folder.string();
  }
  return std::string();
}

}  // namespace

absl::StatusOr<DataState> InspectDataDirectory(const DataPaths& paths) {
  std::error_code error;
  const fs::file_status status = fs::status(paths.root, error);
  if (status.type() == fs::file_type::not_found) {
    fs::path parent = fs::path(paths.root).parent_path();
    while (!fs::exists(parent, error) && parent.has_relative_path()) parent = parent.parent_path();
    if (access(parent.c_str(), W_OK | X_OK) != 0) {
      return FailedPrecondition("cannot make the data directory {}: {} may not write in {}; choose another with --data",
                                paths.root, UserName(geteuid()), parent.string());
    }
    return DataState::kAbsent;
  }
  if (status.type() != fs::file_type::directory) {
    return FailedPrecondition("the data directory {} cannot be used: {}; choose another with --data", paths.root,
                              error ? error.message() : "it is not a directory");
  }
  struct stat owner;
  if (stat(paths.root.c_str(), &owner) == 0 && owner.st_uid != geteuid()) {
    return FailedPrecondition("the data directory {} belongs to {}: start as that user, or choose another with --data",
                              paths.root, UserName(owner.st_uid));
  }
  if (access(paths.root.c_str(), R_OK | W_OK | X_OK) != 0) {
    return FailedPrecondition("the data directory {} cannot be written: {}", paths.root, std::strerror(errno));
  }
  if (FileExists(paths.version())) {
    RETURN_IF_ERROR(CheckVersion(paths));
    return DataState::kOurs;
  }
  // A start that was killed at once may have left the lock and nothing else.
  for (const auto& entry : fs::directory_iterator(paths.root, error)) {
    const std::string name = entry.path().filename().string();
    if (name == "lock" || name.starts_with("version.")) continue;
    return FailedPrecondition(
        "{} holds something else ({}): it is not a data directory of Trustline; choose an empty or a new one with "
        "--data",
        paths.root, name);
  }
  return DataState::kAbsent;
}

absl::Status CheckReachable(const std::string& directory, const SystemUsers& users) {
  for (const auto& user : {users.postgres, users.tvsd, users.itld, users.cad, users.capfd, users.provisiond}) {
    if (!user) continue;
    ASSIGN_OR_RETURN(const std::string closed, FirstClosedFolder(directory, *user));
    if (!closed.empty()) {
      return FailedPrecondition(
          "the system user {} cannot reach the data directory {}, because {} is closed to it: choose a place that is "
          "open, for example --data /var/lib/trustline, or open it with chmod o+x {}",
          user->name, directory, closed, closed);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<DataLock> DataLock::Take(const DataPaths& paths) {
  UniqueFd file(open(paths.lock().c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return PermissionDenied("cannot open {}: {}", paths.lock(), std::strerror(errno));
  if (flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    std::string holder = ReadSmallFile(paths.lock()).value_or("");
    while (!holder.empty() && holder.back() == '\n') holder.pop_back();
    return FailedPrecondition("the data directory {} is in use: another trustline up runs on it (process {})",
                              paths.root, holder.empty() ? "unknown" : holder);
  }
  const std::string pid = fmt::format("{}\n", getpid());
  if (ftruncate(file.get(), 0) != 0 || pwrite(file.get(), pid.data(), pid.size(), 0) < 0) {
    return PermissionDenied("cannot write {}: {}", paths.lock(), std::strerror(errno));
  }
  return DataLock(std::move(file));
}

absl::Status MakeDataDirectory(const DataPaths& paths) {
  std::error_code error;
  fs::create_directories(fs::path(paths.root).parent_path(), error);
  // Daemons with users of their own pass through it; each part is closed by itself.
  return EnsureDirectory(paths.root, geteuid() == 0 ? 0711 : 0700);
}

absl::Status WriteVersion(const DataPaths& paths) {
  RETURN_IF_ERROR(
      WriteFileWhole(paths.version(), fmt::format("format {}\nprogram {}\n", kDataFormat, TRUSTLINE_VERSION), 0644));
  RETURN_IF_ERROR(EnsureDirectory(paths.logs(), 0755));
  return EnsureDirectory(paths.run(), 0755);
}

absl::Status CheckPrivateFiles(const std::string& directory, const std::vector<std::string>& names,
                               const std::optional<SystemUser>& user) {
  const uid_t owner = user ? user->uid : geteuid();
  const std::string owner_name = user ? user->name : UserName(owner);
  for (const std::string& name : names) {
    const std::string path = directory + "/" + name;
    struct stat status;
    if (lstat(path.c_str(), &status) != 0) {
      return FailedPrecondition("{} cannot be read ({}): restore it from a backup of the data directory", path,
                                std::strerror(errno));
    }
    if (!S_ISREG(status.st_mode)) return FailedPrecondition("{} is not a file", path);
    if (status.st_uid != owner) {
      return FailedPrecondition("{} belongs to {}, not to {}: chown {} {}", path, UserName(status.st_uid), owner_name,
                                owner_name, path);
    }
    if ((status.st_mode & S_IRUSR) == 0) {
      return FailedPrecondition("{} is not readable for its owner {}: chmod 600 {}", path, owner_name, path);
    }
    if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
      return FailedPrecondition("{} holds a secret and is open to others (mode {:04o}): chmod 600 {}", path,
                                status.st_mode & 07777, path);
    }
  }
  return absl::OkStatus();
}

}  // namespace trustline
