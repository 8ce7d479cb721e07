// The hooks that itld is configured with: executables that have phones reset.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/service/config.h"

namespace trustline {

struct ResetHook {
  std::string name;
  std::string path;                            // absolute
  absl::Duration deadline = absl::Minutes(2);  // for a wave
};

// Immutable.
class ResetHooks {
 public:
  // None.
  ResetHooks() = default;
  // The table [resets] of itld's configuration. InvalidArgument, with the line, for a name that is none and for a path
  // that is not absolute, not of an executable file, or of one that everybody may write.
  static absl::StatusOr<ResetHooks> Read(ConfigTable resets);

  // By its name; the only one for an empty name. FailedPrecondition with the next step when there is none at all,
  // NotFound with their names when it is not one of them, InvalidArgument for an empty name when there are several.
  absl::StatusOr<ResetHook> Find(const std::string& name) const;

  // In their order.
  std::vector<std::string> Names() const;

 private:
  std::map<std::string, ResetHook> hooks_;
};

}  // namespace trustline
