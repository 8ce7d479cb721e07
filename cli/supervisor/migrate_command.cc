#include <vector>

#include "cli/supervisor/commands.h"
#include "cli/supervisor/site.h"
#include "common/postgres/connection.h"
#include "common/postgres/migration.h"
#include "common/status/status.h"

namespace trustline {

absl::Status RunMigrate(const std::string& connection_text, const std::string& migrations, bool plan_only) {
  Settings settings{.migrations = migrations};
  ASSIGN_OR_RETURN(settings, CompleteSettings(settings));
  ASSIGN_OR_RETURN(const Migrator migrator, Migrator::Create(settings.migrations));
  ASSIGN_OR_RETURN(Connection connection,
                   Connection::Open({.conninfo = connection_text, .application_name = "trustline migrate"}));
  if (plan_only) {
    ASSIGN_OR_RETURN(const std::vector<Migration> plan, migrator.Plan(connection));
    for (const Migration& migration : plan) Say(fmt::format("would apply {}", migration.file_name));
    if (plan.empty()) Say("nothing to do: the database is up to date");
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const int applied, migrator.Apply(connection, TRUSTLINE_VERSION, Say));
  Say(applied == 0 ? std::string("nothing to do: the database is up to date")
                   : fmt::format("applied {} migrations", applied));
  return absl::OkStatus();
}

}  // namespace trustline
