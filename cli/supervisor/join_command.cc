#include <unistd.h>

#include <climits>
#include <filesystem>
#include <system_error>

#include "absl/time/clock.h"
#include "cli/supervisor/commands.h"
#include "cli/supervisor/data_directory.h"
#include "cli/supervisor/node_join.h"
#include "cli/supervisor/private_file.h"
#include "cli/supervisor/site.h"
#include "cli/supervisor/system_user.h"
#include "common/postgres/connection.h"
#include "common/rpc/credentials.h"
#include "common/status/status.h"

namespace trustline {
namespace {

// With the rights of the user that will do it: a machine that joins with a database it cannot read would be useless,
// and the token used up.
absl::Status CheckDatabase(const std::string& database, const SystemUsers& users) {
  const ActAs scope(users.tvsd);
  RETURN_IF_ERROR(scope.status());
  absl::StatusOr<Connection> connection =
      Connection::Open({.conninfo = database, .application_name = "trustline join"});
  absl::Status status = connection.status();
  if (status.ok()) status = connection->Execute("SELECT 1 FROM trust_entry LIMIT 1").status();
  if (status.ok()) return status;
  return Annotate(status,
                  "--database does not lead to the system's trust store (nothing was changed, and the token can still "
                  "be used)");
}

// Made beside the data directory and renamed when everything is in it.
absl::Status FillNode(const std::string& directory, const JoinOptions& options, const JoinToken& token,
                      const SystemUsers& users) {
  const DataPaths paths(directory);
  RETURN_IF_ERROR(MakeDataDirectory(paths));
  RETURN_IF_ERROR(EnsureDirectory(paths.tvsd(), 0700, users.tvsd));
  const JoinedNode joined{.node = options.name, .server = options.server, .database = options.database};
  RETURN_IF_ERROR(joined.Write(paths.joined()));
  RETURN_IF_ERROR(WriteVersion(paths));
  return JoinNode({.server = options.server,
                   .node = options.name,
                   .directory = paths.tvsd(),
                   .owner = users.tvsd,
                   .organization = options.organization,
                   .organizational_unit = options.organizational_unit},
                  token, absl::Now());
}

}  // namespace

absl::Status RunJoin(const JoinOptions& options) {
  RETURN_IF_ERROR(RequireTls13());
  // 1. Everything that can be wrong without the token being used up.
  ASSIGN_OR_RETURN(const JoinToken token, JoinToken::Parse(options.token));
  RETURN_IF_ERROR(CheckOrganization("--organization", options.organization));
  RETURN_IF_ERROR(CheckOrganization("--organizational-unit", options.organizational_unit));
  ASSIGN_OR_RETURN(const SystemUsers users, SystemUsers::Find());
  ASSIGN_OR_RETURN(const Settings settings, CompleteSettings({.data = options.data}));
  const DataPaths paths(settings.data);
  ASSIGN_OR_RETURN(const DataState state, InspectDataDirectory(paths));
  if (state == DataState::kOurs) {
    return FailedPrecondition("{} is a data directory already: choose a new one with --data", paths.root);
  }
  if (geteuid() == 0) RETURN_IF_ERROR(CheckReachable(paths.root, users));
  RETURN_IF_ERROR(CheckDatabase(options.database, users));

  // 2. Into a directory beside it, so that a failure leaves nothing.
  const std::string unfinished = paths.root + ".joining";
  RETURN_IF_ERROR(RemoveTree(unfinished));
  Say(fmt::format("joining {} as {}", options.server, options.name));
  if (absl::Status filled = FillNode(unfinished, options, token, users); !filled.ok()) {
    RETURN_IF_ERROR(RemoveTree(unfinished));
    return filled;
  }
  RETURN_IF_ERROR(RemoveTree(paths.lock()));
  RETURN_IF_ERROR(RenameDurably(unfinished, paths.root));
  Say(fmt::format("joined. Start it with: trustline up --data {}", paths.root));
  return absl::OkStatus();
}

}  // namespace trustline
