// What must hold before a start, and what an earlier one has left.
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "cli/supervisor/daemon_files.h"
#include "cli/supervisor/preconditions.h"
#include "cli/supervisor/private_file.h"
#include "cli/supervisor/process_record.h"
#include "cli/supervisor/site.h"
#include "common/postgres/migration.h"
#include "common/service/config.h"
#include "common/status/status.h"
#include "common/x509/private_key.h"

namespace trustline {
namespace {

// Daemons of an earlier start whose supervisor was killed. PostgreSQL last, and by the signal that ends it cleanly.
absl::Status EndOrphans(const DataPaths& paths) {
  for (const char* name : {"tvsd", "provisiond", "capfd", "cad", "itld", "postgres"}) {
    const bool is_postgres = std::string_view(name) == "postgres";
    ASSIGN_OR_RETURN(const bool ended, EndRecordedProcess(paths.pid(name), is_postgres ? SIGINT : SIGTERM,
                                                          absl::Seconds(is_postgres ? 30 : 10)));
    if (ended) Say(fmt::format("ended {}, which an earlier start had left running", name));
  }
  return absl::OkStatus();
}

absl::Status CheckKeyOpens(const std::string& directory, const std::string& name,
                           const std::optional<SystemUser>& user) {
  if (!FileExists(directory)) return absl::OkStatus();
  const ActAs scope(user);
  RETURN_IF_ERROR(scope.status());
  return PrivateKey::ReadKeyFile(directory + "/" + name, directory + "/passphrase").status();
}

// The secrets of a part that was made completely (its directory exists). Those of cad, capfd and provisiond are checked
// when they start: phones are served without them.
absl::Status CheckKeys(const DataPaths& paths, const SystemUsers& users, bool joined) {
  const auto check = [](const std::string& directory, const std::vector<std::string>& names,
                        const std::optional<SystemUser>& user) {
    return FileExists(directory) ? CheckPrivateFiles(directory, names, user) : absl::OkStatus();
  };
  std::vector<std::string> tvsd = {"identity.key", "tvs.key", "passphrase"};
  if (!joined) tvsd.push_back("database.pgpass");
  RETURN_IF_ERROR(check(paths.tvsd(), tvsd, users.tvsd));
  RETURN_IF_ERROR(
      check(paths.itld(), {"identity.key", "identity-authority.key", "passphrase", "database.pgpass"}, users.itld));
  RETURN_IF_ERROR(check(paths.admin(), {"identity.key"}, {}));
  RETURN_IF_ERROR(CheckKeyOpens(paths.tvsd(), "tvs.key", users.tvsd));
  RETURN_IF_ERROR(CheckKeyOpens(paths.itld(), "identity-authority.key", users.itld));
  if (!FileExists(paths.postgres())) return absl::OkStatus();
  return CheckPrivateFiles(paths.root, {"postgres-superuser.pgpass"}, {});
}

// A server of another major version cannot read the files.
absl::Status CheckPostgresData(const DataPaths& paths, const std::string& bin_dir, const SystemUsers& users) {
  ASSIGN_OR_RETURN(const int program, PostgresVersion(bin_dir));
  if (!FileExists(paths.postgres())) return absl::OkStatus();
  const ActAs scope(users.postgres);
  RETURN_IF_ERROR(scope.status());
  ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(paths.postgres() + "/PG_VERSION"));
  const int data = std::atoi(text.c_str());
  if (data == program) return absl::OkStatus();
  return FailedPrecondition(
      "the database in {} was made by PostgreSQL {}, but {} is PostgreSQL {}: name the folder of version {} with "
      "--postgres-bin-dir",
      paths.postgres(), data, bin_dir, program, data);
}

absl::Status CheckPrograms(const Settings& settings, bool other_users, bool joined) {
  RETURN_IF_ERROR(CheckProgram(settings.bin_dir + "/tvsd", other_users));
  if (joined) return absl::OkStatus();
  RETURN_IF_ERROR(CheckProgram(settings.bin_dir + "/itld", other_users));
  RETURN_IF_ERROR(CheckProgram(settings.bin_dir + "/cad", other_users));
  RETURN_IF_ERROR(CheckProgram(settings.bin_dir + "/capfd", other_users));
  return CheckProgram(settings.bin_dir + "/provisiond", other_users);
}

}  // namespace

absl::StatusOr<JoinedNode> JoinedNode::Read(const std::string& path) {
  ASSIGN_OR_RETURN(const ConfigFile file, ConfigFile::Load(path));
  ConfigTable root = file.root();
  JoinedNode joined;
  ASSIGN_OR_RETURN(joined.node, root.Text("node"));
  ASSIGN_OR_RETURN(joined.server, root.Text("server"));
  ASSIGN_OR_RETURN(joined.database, root.Text("database"));
  RETURN_IF_ERROR(file.RefuseUnknownKeys());
  return joined;
}

absl::Status JoinedNode::Write(const std::string& path) const {
  return WriteFileWhole(path, fmt::format("# Written by trustline join.\nnode = {}\nserver = {}\ndatabase = {}\n",
                                          TomlText(node), TomlText(server), TomlText(database)));
}

absl::StatusOr<Site> Site::Open(const Settings& asked) {
  // 1. What needs no data directory.
  ASSIGN_OR_RETURN(const Settings settings, CompleteSettings(asked));
  ASSIGN_OR_RETURN(const Ports ports, Ports::WithOffset(settings.port_offset));
  ASSIGN_OR_RETURN(const SystemUsers users, SystemUsers::Find());
  const DataPaths paths(settings.data);

  // 2. The data directory as it is.
  ASSIGN_OR_RETURN(const DataState state, InspectDataDirectory(paths));
  if (geteuid() == 0) RETURN_IF_ERROR(CheckReachable(paths.root, users));
  std::optional<JoinedNode> joined;
  if (state == DataState::kOurs && FileExists(paths.joined())) {
    ASSIGN_OR_RETURN(joined, JoinedNode::Read(paths.joined()));
  }
  if (joined && settings.site.any()) {
    return InvalidArgument(
        "--public-url, --organization and --organizational-unit belong to the machine with itld and cad ({}), which {} "
        "has joined",
        joined->server, joined->node);
  }
  DecidedSiteSettings site_settings;
  if (!joined) {
    ASSIGN_OR_RETURN(site_settings, DecideSiteSettings(paths.site(), settings.site, ports.crl));
  }
  RETURN_IF_ERROR(CheckPrograms(settings, geteuid() == 0, joined.has_value()));
  std::string postgres_bin_dir;
  if (!joined) {
    ASSIGN_OR_RETURN(postgres_bin_dir, FindPostgres(settings.postgres_bin_dir));
    RETURN_IF_ERROR(CheckPostgresData(paths, postgres_bin_dir, users));
    RETURN_IF_ERROR(Migrator::Create(settings.migrations).status());
  }
  RETURN_IF_ERROR(CheckKeys(paths, users, joined.has_value()));

  // 3. The ports, but only when nothing of an earlier start can hold them.
  std::vector<ListenerAddress> listeners = Listeners(settings, ports, !joined);
  ASSIGN_OR_RETURN(const std::vector<ListenerAddress> local, LocalListeners(paths, !joined));
  listeners.insert(listeners.end(), local.begin(), local.end());
  if (state == DataState::kAbsent) {
    RETURN_IF_ERROR(CheckPortsFree(listeners, users));
    RETURN_IF_ERROR(MakeDataDirectory(paths));
  }
  ASSIGN_OR_RETURN(DataLock lock, DataLock::Take(paths));
  RETURN_IF_ERROR(EndOrphans(paths));
  if (state == DataState::kOurs) RETURN_IF_ERROR(CheckPortsFree(listeners, users));

  // 4. From here on the directory is ours.
  RETURN_IF_ERROR(WriteVersion(paths));
  if (site_settings.must_be_written) RETURN_IF_ERROR(site_settings.settings.Write(paths.site()));
  for (const std::string& change : site_settings.changes) Say(change);
  return Site(settings, std::move(site_settings.settings), ports, paths, users, std::move(lock), std::move(joined),
              std::move(listeners), std::move(postgres_bin_dir), state == DataState::kAbsent);
}

}  // namespace trustline
