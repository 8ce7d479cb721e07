#include "itl/reset/reset_hooks.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_join.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr size_t kLongestName = 63;

bool IsName(std::string_view name) {
  return !name.empty() && name.size() <= kLongestName && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

// Why a file cannot be a hook; empty when it can.
std::string Unfit(const std::string& path) {
  if (!path.starts_with('/')) return "is not an absolute path";
  struct stat file {};
  if (stat(path.c_str(), &file) != 0) return fmt::format("{} does not exist, or its folder may not be entered", path);
  if (!S_ISREG(file.st_mode)) return fmt::format("{} is not a file", path);
  if (access(path.c_str(), X_OK) != 0) return fmt::format("{} may not be executed: chmod 755", path);
  if ((file.st_mode & S_IWOTH) != 0) return fmt::format("{} may be written by everybody: chmod o-w", path);
  return "";
}

}  // namespace

absl::StatusOr<ResetHooks> ResetHooks::Read(ConfigTable resets) {
  constexpr absl::Duration kShortest = absl::Seconds(1);
  constexpr absl::Duration kLongest = absl::Hours(1);
  ASSIGN_OR_RETURN(const absl::Duration deadline,
                   resets.DurationOr("deadline", ResetHook().deadline, kShortest, kLongest));
  ASSIGN_OR_RETURN(ConfigTable table, resets.Table("hooks"));
  ResetHooks hooks;
  for (const std::string& name : table.Keys()) {
    if (!IsName(name)) {
      return table.Error(name, fmt::format("a hook's name has 1 to {} letters, digits, '-' and '_'", kLongestName));
    }
    ASSIGN_OR_RETURN(const std::string path, table.Text(name));
    if (const std::string unfit = Unfit(path); !unfit.empty()) return table.Error(name, unfit);
    hooks.hooks_.emplace(name, ResetHook{.name = name, .path = path, .deadline = deadline});
  }
  return hooks;
}

absl::StatusOr<ResetHook> ResetHooks::Find(const std::string& name) const {
  if (hooks_.empty()) {
    return FailedPrecondition(
        "itld has no hook that could reset phones: name an executable in its configuration, under [resets.hooks] (with "
        "`trustline up` in DIR/itld.local.toml), and start it again; docs/RESETS.md has examples");
  }
  if (name.empty()) {
    if (hooks_.size() == 1) return hooks_.begin()->second;
    return InvalidArgument("itld has several hooks: name one of {} (--hook)", absl::StrJoin(Names(), ", "));
  }
  const auto found = hooks_.find(name);
  if (found != hooks_.end()) return found->second;
  return NotFound(
      "itld has no hook '{}': it has {}; others are named in its configuration, under [resets.hooks] (with `trustline "
      "up` in DIR/itld.local.toml)",
      name, absl::StrJoin(Names(), ", "));
}

std::vector<std::string> ResetHooks::Names() const {
  std::vector<std::string> names;
  for (const auto& [name, hook] : hooks_) names.push_back(name);
  return names;
}

}  // namespace trustline
