// The subcommands of `trustline`.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "cli/supervisor/settings.h"

namespace trustline {

// Runs the system until SIGTERM or SIGINT.
absl::Status RunUp(const Settings& settings);

// Brings a database to this version's schema, or says what that would do.
absl::Status RunMigrate(const std::string& connection, const std::string& migrations, bool plan_only);

struct JoinOptions {
  std::string server;
  std::string token;
  std::string data;
  std::string database;
  std::string name;
  std::string organization = kDefaultOrganization;
  std::string organizational_unit = kDefaultOrganizationalUnit;
};

// Makes a data directory for this machine as a node of another machine's system. A failed join leaves nothing.
absl::Status RunJoin(const JoinOptions& options);

}  // namespace trustline
