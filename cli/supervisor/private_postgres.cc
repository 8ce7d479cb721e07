#include "cli/supervisor/private_postgres.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "cli/supervisor/private_file.h"
#include "cli/supervisor/process_record.h"
#include "common/bytes/bytes.h"
#include "common/bytes/secret_bytes.h"
#include "common/bytes/sha256.h"
#include "common/postgres/migration.h"
#include "common/postgres/transaction.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr char kSuperuser[] = "postgres";
// In postgresql.conf, behind everything else, so that ALTER SYSTEM still has the last word.
constexpr char kOwnConfiguration[] = "trustline.conf";

// A value of a libpq connection string or of postgresql.conf (PostgreSQL 15 manual, chapters 34.1.1 and 20.1).
std::string QuoteConnectionValue(std::string_view value) {
  std::string quoted = "'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "'";
}

// A directory of ours and closed to strangers, or a fresh one; in /tmp a stranger may have been there first.
absl::Status MakeSocketDirectory(const std::string& path, const SystemUsers& users) {
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return PermissionDenied("cannot make the directory {} for the database's socket: {}", path, std::strerror(errno));
  }
  struct stat status;
  const uid_t owner = users.postgres ? users.postgres->uid : geteuid();
  if (lstat(path.c_str(), &status) != 0 || !S_ISDIR(status.st_mode) ||
      (status.st_uid != owner && status.st_uid != geteuid())) {
    return FailedPrecondition("{} belongs to somebody else: remove it and start again", path);
  }
  if (!users.postgres) return EnsureDirectory(path, 0700);
  // The daemons' users reach the socket through their group.
  if (lchown(path.c_str(), users.postgres->uid, users.postgres->shared_group) != 0 || chmod(path.c_str(), 0710) != 0) {
    return PermissionDenied("cannot give {} to {}: {}", path, users.postgres->name, std::strerror(errno));
  }
  return absl::OkStatus();
}

// What initdb and PostgreSQL say about a failure is in the last lines.
std::string LastLines(const std::string& output) {
  std::istringstream lines(output);
  std::string last, before;
  for (std::string line; std::getline(lines, line);) {
    if (line.empty()) continue;
    before = std::exchange(last, line);
  }
  return before + " / " + last;
}

absl::StatusOr<SecretBytes> ReadPasswordFile(const std::string& path) {
  ASSIGN_OR_RETURN(std::string text, ReadSmallFile(path));
  const SecretBytes content = SecretBytes::TakeFrom(text);
  absl::StatusOr<SecretBytes> password = PasswordOf(content);
  if (!password.ok()) return Annotate(password.status(), path);
  return password;
}

std::string RuntimeDirectory() {
  if (geteuid() == 0) return "/run";
  const char* named = std::getenv("XDG_RUNTIME_DIR");
  struct stat status;
  // sudo and its like leave the variable of another user behind.
  if (named != nullptr && std::strlen(named) < 60 && stat(named, &status) == 0 && S_ISDIR(status.st_mode) &&
      status.st_uid == geteuid() && access(named, W_OK | X_OK) == 0) {
    return named;
  }
  return "/tmp";
}

}  // namespace

PrivatePostgres::PrivatePostgres(DataPaths paths, std::string bin_dir, SystemUsers users)
    : paths_(std::move(paths)), bin_dir_(std::move(bin_dir)), users_(std::move(users)) {
  const Sha256Digest digest = Sha256(AsBytes(paths_.root));
  const std::string mark = ToHex(ByteView(digest).first(4));
  socket_directory_ = geteuid() == 0 ? fmt::format("/run/trustline-{}", mark)
                                     : fmt::format("{}/trustline-{}-{}", RuntimeDirectory(), geteuid(), mark);
}

absl::Status PrivatePostgres::CreateCluster(const std::function<void(std::string_view)>& progress) const {
  if (FileExists(paths_.postgres())) return absl::OkStatus();
  if (!FileExists(paths_.superuser_password())) {
    RETURN_IF_ERROR(WriteFileWhole(paths_.superuser_password(), NewPasswordFile(kSuperuser).ExposeSecret()));
  }
  progress("creating the database");
  const std::string unfinished = paths_.postgres() + ".new";
  RETURN_IF_ERROR(RemoveTree(unfinished));
  RETURN_IF_ERROR(EnsureDirectory(unfinished, 0700, users_.postgres));
  RETURN_IF_ERROR(RunInitdb(unfinished));
  {
    const ActAs scope(users_.postgres);
    RETURN_IF_ERROR(scope.status());
    // Only over the socket, only with a password.
    RETURN_IF_ERROR(WriteFileWhole(unfinished + "/pg_hba.conf", "local all all scram-sha-256\n"));
    ASSIGN_OR_RETURN(std::string settings, ReadSmallFile(unfinished + "/postgresql.conf"));
    settings += fmt::format("\n# Rewritten at each start; ALTER SYSTEM overrides it.\ninclude_if_exists = '{}'\n",
                            kOwnConfiguration);
    RETURN_IF_ERROR(WriteFileWhole(unfinished + "/postgresql.conf", settings));
  }
  return RenameDurably(unfinished, paths_.postgres());
}

absl::Status PrivatePostgres::RunInitdb(const std::string& directory) const {
  ASSIGN_OR_RETURN(const SecretBytes password, ReadPasswordFile(paths_.superuser_password()));
  // initdb takes the password from a file only, and as the database's user. The directory must be empty.
  const std::string exchange = paths_.root + "/initdb.new";
  RETURN_IF_ERROR(RemoveTree(exchange));
  RETURN_IF_ERROR(EnsureDirectory(exchange, 0700, users_.postgres));
  {
    const ActAs scope(users_.postgres);
    RETURN_IF_ERROR(scope.status());
    RETURN_IF_ERROR(WriteFileWhole(exchange + "/password", password.ExposeSecret()));
  }
  const auto finished = RunToEnd({.program = bin_dir_ + "/initdb",
                                  .arguments = {"--pgdata=" + directory, fmt::format("--username={}", kSuperuser),
                                                "--encoding=UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256",
                                                "--pwfile=" + exchange + "/password", "--data-checksums"},
                                  .user = users_.postgres,
                                  .death_signal = SIGKILL},
                                 absl::Minutes(5));
  RETURN_IF_ERROR(RemoveTree(exchange));
  RETURN_IF_ERROR(finished.status());
  if (finished->wait_status != 0) {
    return FailedPrecondition("initdb {}: {}", WaitStatusText(finished->wait_status), LastLines(finished->output));
  }
  return absl::OkStatus();
}

absl::Status PrivatePostgres::WriteConfiguration() const {
  return WriteFileWhole(paths_.postgres() + "/" + kOwnConfiguration,
                        fmt::format("# Written by trustline up at each start.\n"
                                    "listen_addresses = ''\n"
                                    "unix_socket_directories = {}\n"
                                    "unix_socket_permissions = 0777\n"
                                    "port = 5432\n"
                                    "max_connections = 100\n"
                                    "password_encryption = 'scram-sha-256'\n"
                                    "fsync = on\n"
                                    "full_page_writes = on\n"
                                    "logging_collector = off\n"
                                    "log_destination = 'stderr'\n"
                                    "log_line_prefix = '%m [%p] %e '\n"
                                    "log_timezone = 'UTC'\n"
                                    "timezone = 'UTC'\n"
                                    "lc_messages = 'C'\n"
                                    "cluster_name = 'trustline'\n",
                                    QuoteConnectionValue(socket_directory_)));
}

absl::Status PrivatePostgres::RemoveStalePostmasterFile() const {
  // PostgreSQL refuses to start while the process named there exists. After a crash that number may belong to anything;
  // a PostgreSQL of this directory has been ended by its own pid file before.
  const std::string path = paths_.postgres() + "/postmaster.pid";
  const auto content = ReadSmallFile(path);
  if (!content.ok()) return absl::OkStatus();
  const std::string command = ReadSmallFile(fmt::format("/proc/{}/comm", std::atoi(content->c_str()))).value_or("");
  return command == "postgres\n" ? absl::OkStatus() : RemoveTree(path);
}

absl::Status PrivatePostgres::PrepareStart() const {
  RETURN_IF_ERROR(MakeSocketDirectory(socket_directory_, users_));
  const ActAs scope(users_.postgres);
  RETURN_IF_ERROR(scope.status());
  RETURN_IF_ERROR(RemoveStalePostmasterFile());
  return WriteConfiguration();
}

void PrivatePostgres::RemoveSocketDirectory() const {
  // It is empty after a clean end, and otherwise used again by the next start.
  rmdir(socket_directory_.c_str());
}

ChildCommand PrivatePostgres::ServerCommand() const {
  return {.program = bin_dir_ + "/postgres",
          .arguments = {"-D", paths_.postgres()},
          .user = users_.postgres,
          .death_signal = SIGINT};
}

absl::StatusOr<Connection> PrivatePostgres::Connect(std::string_view database) const {
  return Connection::Open({.conninfo = SuperuserConnection(database), .application_name = "trustline up"});
}

absl::StatusOr<bool> PrivatePostgres::Answers() const {
  const auto connection = Connect("postgres");
  if (connection.ok()) return true;
  if (absl::IsUnavailable(connection.status()) || absl::IsDeadlineExceeded(connection.status())) return false;
  return connection.status();
}

std::string PrivatePostgres::SuperuserConnection(std::string_view database) const {
  return fmt::format("host={} port=5432 dbname={} user={} passfile={}", QuoteConnectionValue(socket_directory_),
                     database, kSuperuser, QuoteConnectionValue(paths_.superuser_password()));
}

std::string PrivatePostgres::RoleConnection(std::string_view role, const std::string& password_file) const {
  return fmt::format("host={} port=5432 dbname={} user={} passfile={}", QuoteConnectionValue(socket_directory_),
                     kDatabaseName, role, QuoteConnectionValue(password_file));
}

absl::Status PrivatePostgres::CreateDatabase() const {
  ASSIGN_OR_RETURN(Connection connection, Connect("postgres"));
  // The daemons' roles have nothing to do in these; the migrations close their own database.
  RETURN_IF_ERROR(connection.Execute("REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC").status());
  ASSIGN_OR_RETURN(const Result found, connection.Execute("SELECT 1 FROM pg_database WHERE datname = $1",
                                                          Parameters().Text(kDatabaseName)));
  if (!found.empty()) return absl::OkStatus();
  return connection.Execute("CREATE DATABASE trustline").status();
}

absl::Status PrivatePostgres::ApplyMigrations(const std::string& directory,
                                              const std::function<void(std::string_view)>& progress) const {
  ASSIGN_OR_RETURN(const Migrator migrator, Migrator::Create(directory));
  ASSIGN_OR_RETURN(Connection connection, Connect(kDatabaseName));
  return migrator.Apply(connection, TRUSTLINE_VERSION, progress).status();
}

absl::Status PrivatePostgres::SetPassword(std::string_view role, const std::string& password_file,
                                          const std::optional<SystemUser>& owner) const {
  SecretBytes password;
  {
    const ActAs scope(owner);
    RETURN_IF_ERROR(scope.status());
    ASSIGN_OR_RETURN(password, ReadPasswordFile(password_file));
  }
  ASSIGN_OR_RETURN(Connection connection, Connect(kDatabaseName));
  return connection.SetRolePassword(role, password);
}

absl::Status PrivatePostgres::GrantFirstAdministrator() const {
  ASSIGN_OR_RETURN(Connection connection, Connect(kDatabaseName));
  ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(connection));
  RETURN_IF_ERROR(connection
                      .Execute("INSERT INTO access_grant (cluster_id, person, role, granted_by) "
                               "SELECT cluster_id, 'admin', role, 'trustline up' "
                               "FROM cluster, unnest(ARRAY['administrator', 'auditor']) AS role "
                               "WHERE name = 'default' "
                               "AND NOT EXISTS (SELECT FROM access_grant g WHERE g.cluster_id = cluster.cluster_id) "
                               "RETURNING audit_append(cluster_id, NULL, 'trustline up', 'access.grant', "
                               "'admin', 'done', json_build_object('role', role)::text)")
                      .status());
  return transaction.Commit();
}

SecretBytes NewPasswordFile(std::string_view role) {
  const SecretBytes random = SecretBytes::Random(24);
  std::string digits = ToHex(AsBytes(random.ExposeSecret()));
  const SecretBytes password = SecretBytes::TakeFrom(digits);
  std::string line = fmt::format("*:*:*:{}:{}\n", role, password.ExposeSecret());
  return SecretBytes::TakeFrom(line);
}

absl::StatusOr<SecretBytes> PasswordOf(const SecretBytes& content) {
  const std::string_view line = content.ExposeSecret();
  const size_t colon = line.rfind(':');
  const size_t end = line.find('\n');
  if (colon == std::string_view::npos || end == std::string_view::npos || end < colon + 16 || end + 1 != line.size()) {
    return DataLoss("this is not a password file of ours: restore it from a backup of the data directory");
  }
  return SecretBytes(line.substr(colon + 1, end - colon - 1));
}

}  // namespace trustline
