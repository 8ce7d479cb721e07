// The configuration files that the supervisor writes at each start (docs/OPERATIONS.md describes them).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/supervisor/data_directory.h"
#include "cli/supervisor/settings.h"
#include "cli/supervisor/system_user.h"

namespace trustline {

// A TOML basic string with its quotes (TOML 1.0).
std::string TomlText(std::string_view text);

// They add to the end what the site wrote into DIR/NAME.local.toml, if it did.

// `connection` and `renew_from`: where this node's database and itld are.
absl::Status WriteTvsdConfiguration(const DataPaths& paths, const std::optional<SystemUser>& owner,
                                    const std::string& node, const std::string& connection,
                                    const std::string& renew_from, const Settings& settings, const Ports& ports);

absl::Status WriteItldConfiguration(const DataPaths& paths, const std::optional<SystemUser>& owner,
                                    const std::string& connection, const Settings& settings, const Ports& ports);

// `connection` and `itld`: where the database and itld are.
absl::Status WriteCadConfiguration(const DataPaths& paths, const std::optional<SystemUser>& owner,
                                   const std::string& connection, const std::string& itld, const SiteSettings& site,
                                   const Settings& settings, const Ports& ports);

// `itld` and `cad`: where they are.
absl::Status WriteCapfdConfiguration(const DataPaths& paths, const std::optional<SystemUser>& owner,
                                     const std::string& connection, const std::string& itld, const std::string& cad,
                                     const Settings& settings, const Ports& ports);

// `itld` and `tvsd`: where they are.
absl::Status WriteProvisiondConfiguration(const DataPaths& paths, const std::optional<SystemUser>& owner,
                                          const std::string& connection, const std::string& itld,
                                          const std::string& tvsd, const Settings& settings, const Ports& ports);

// The phones' listeners that DIR/tvsd.local.toml and, `with_database`, DIR/capfd.local.toml and
// DIR/provisiond.local.toml add and that can be tried before the start: not those bound to an interface, nor those with
// any free port. InvalidArgument with the line when tvsd's file cannot be read; what is wrong with another's keeps
// nobody but that one.
absl::StatusOr<std::vector<ListenerAddress>> LocalListeners(const DataPaths& paths, bool with_database);

// For trustctl.
absl::Status WriteAdministratorContext(const DataPaths& paths, const Settings& settings, const Ports& ports);

}  // namespace trustline
