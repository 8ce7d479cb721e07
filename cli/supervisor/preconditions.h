// What must hold before `trustline up` makes anything. Every failure is one sentence on what and what to do.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/supervisor/settings.h"
#include "cli/supervisor/system_user.h"

namespace trustline {

// The folder with initdb and postgres of version 15 or later: `asked_for` alone when it is given, else Debian's, else
// what pg_config on the PATH says, else the PATH. NotFound names the package.
absl::StatusOr<std::string> FindPostgres(const std::string& asked_for);

// "15" of "postgres (PostgreSQL) 15.12 (Debian 15.12-0+deb12u2)". InvalidArgument for anything else.
absl::StatusOr<int> ParsePostgresVersion(const std::string& text);
absl::StatusOr<int> PostgresVersion(const std::string& postgres_bin_dir);

// A program that `user` (none: this process's) may execute.
absl::Status CheckProgram(const std::string& path, bool other_users);

// Binds each address for a moment, as the user that its daemon will run as. FailedPrecondition when it is taken or not
// of this machine; PermissionDenied without the right to a low port.
absl::Status CheckPortsFree(const std::vector<ListenerAddress>& listeners, const SystemUsers& users = {});

}  // namespace trustline
