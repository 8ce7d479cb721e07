#include "cli/supervisor/system_user.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "common/status/status.h"

namespace trustline {

absl::StatusOr<SystemUser> SystemUser::Find(const std::string& name) {
  const passwd* user = getpwnam(name.c_str());
  if (user == nullptr) return NotFound("the system user {} does not exist", name);
  SystemUser found{.name = name, .uid = user->pw_uid, .gid = user->pw_gid, .shared_group = 0};
  const group* shared = getgrnam(kSystemGroup);
  if (shared == nullptr) return NotFound("the system group {} does not exist", kSystemGroup);
  found.shared_group = shared->gr_gid;
  return found;
}

absl::StatusOr<SystemUsers> SystemUsers::Find() {
  SystemUsers users;
  if (geteuid() != 0) return users;
  struct {
    const char* name;
    std::optional<SystemUser>* user;
  } const wanted[] = {
      {"trustline-postgres", &users.postgres}, {"trustline-tvsd", &users.tvsd},
      {"trustline-itld", &users.itld},         {"trustline-cad", &users.cad},
      {"trustline-capfd", &users.capfd},       {"trustline-provisiond", &users.provisiond},
  };
  for (const auto& [name, user] : wanted) {
    auto found = SystemUser::Find(name);
    if (!found.ok()) {
      return NotFound(
          "{}, and root runs PostgreSQL and each daemon as a user of its own. deploy/quickstart makes them; by hand: "
          "groupadd --system trustline; for u in postgres tvsd itld cad capfd provisiond; do useradd --system --gid "
          "trustline "
          "--no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin trustline-$u; done",
          found.status().message());
    }
    *user = *std::move(found);
  }
  return users;
}

ActAs::ActAs(const std::optional<SystemUser>& user) {
  if (user && !Become(*user)) {
    status_ = PermissionDenied("cannot act as the user {}: {}", user->name, std::strerror(errno));
  }
}

bool ActAs::Become(const SystemUser& user) {
  const int count = getgroups(0, nullptr);
  if (count < 0) return false;
  std::vector<gid_t> groups(static_cast<size_t>(count));
  if (getgroups(count, groups.data()) != count) return false;
  // The groups of the processes that run as this user, and none of root's.
  if (setgroups(1, &user.shared_group) != 0) return false;
  own_groups_ = std::move(groups);
  return setegid(user.gid) == 0 && seteuid(user.uid) == 0;
}

ActAs::~ActAs() {
  if (!own_groups_) return;
  // The real user is root still, so this can only fail in a broken system, where going on with the wrong rights would
  // be worse than ending.
  if (seteuid(getuid()) != 0 || setegid(getgid()) != 0 || setgroups(own_groups_->size(), own_groups_->data()) != 0) {
    std::abort();
  }
}

}  // namespace trustline
