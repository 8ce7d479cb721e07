// The system users that PostgreSQL and the daemons run as when root starts them.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace trustline {

// The group that may reach the directory of PostgreSQL's socket.
inline constexpr char kSystemGroup[] = "trustline";

struct SystemUser {
  std::string name;
  uid_t uid;
  gid_t gid;
  gid_t shared_group;  // kSystemGroup

  // NotFound when the user or kSystemGroup does not exist.
  static absl::StatusOr<SystemUser> Find(const std::string& name);
};

// All empty when a user other than root starts the system: everything runs as that user then.
struct SystemUsers {
  std::optional<SystemUser> postgres;
  std::optional<SystemUser> tvsd;
  std::optional<SystemUser> itld;
  std::optional<SystemUser> cad;
  std::optional<SystemUser> capfd;
  std::optional<SystemUser> provisiond;

  // For this process. NotFound names deploy/quickstart and the commands that make what is missing.
  static absl::StatusOr<SystemUsers> Find();
};

// Acts as `user` on files until destroyed, so that nothing in a directory which belongs to that user can lead root
// astray. Without a user it does nothing. One at a time in a process; every thread is affected.
class ActAs {
 public:
  explicit ActAs(const std::optional<SystemUser>& user);
  ~ActAs();
  ActAs(const ActAs&) = delete;
  ActAs& operator=(const ActAs&) = delete;

  // Whether the change was made; nothing may be done otherwise.
  const absl::Status& status() const { return status_; }

 private:
  // errno says why not.
  bool Become(const SystemUser& user);

  std::optional<std::vector<gid_t>> own_groups_;  // once they were given up
  absl::Status status_;
};

}  // namespace trustline
