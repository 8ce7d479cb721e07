#include "common/postgres/migration.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <utility>

#include "common/postgres/transaction.h"
#include "common/status/status.h"

namespace trustline {
namespace {

// "trustlin" in ASCII: the advisory lock that one migrator of a database holds.
constexpr int64_t kAdvisoryLock = 0x7472'7573'746c'696e;

constexpr char kCreateTable[] = R"sql(
  CREATE TABLE IF NOT EXISTS public.schema_migration (
    number     integer     PRIMARY KEY,
    name       text        NOT NULL,
    sha256     bytea       NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    version    text        NOT NULL
  );
  GRANT SELECT ON public.schema_migration TO PUBLIC;
)sql";

constexpr char kTableExists[] = "SELECT to_regclass('public.schema_migration') IS NOT NULL";
constexpr char kSelectApplied[] = "SELECT number, name, sha256, version FROM public.schema_migration ORDER BY number";
constexpr char kInsert[] =
    "INSERT INTO public.schema_migration (number, name, sha256, version) VALUES ($1, $2, $3, $4)";

std::string FileName(int number, std::string_view name) { return fmt::format("{:04}_{}.sql", number, name); }

// A file that commits could be half applied. The pattern is a transaction command alone on its line, with its
// semicolon, which PL/pgSQL's BEGIN and END; never are.
absl::Status CheckEndsNoTransaction(const Migration& migration) {
  static const std::regex command(R"(^\s*(begin|commit|rollback|start\s+transaction)\b[^;\n]*;)",
                                  std::regex::icase | std::regex::optimize);
  std::istringstream lines(migration.sql);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    if (!std::regex_search(line, command)) continue;
    return InvalidArgument("{}, line {}: a migration must not begin or end a transaction; it runs inside one",
                           migration.file_name, number);
  }
  return absl::OkStatus();
}

absl::StatusOr<Migration> ReadMigration(const std::filesystem::path& path) {
  Migration migration;
  migration.file_name = path.filename().string();
  const std::string stem = path.stem().string();
  const bool well_formed =
      stem.size() > 5 && stem[4] == '_' && std::all_of(stem.begin(), stem.begin() + 4, ::isdigit) &&
      std::all_of(stem.begin() + 5, stem.end(), [](unsigned char c) { return std::isalnum(c) || c == '_'; });
  if (!well_formed) {
    return InvalidArgument("{} is not named like 0001_create_cluster.sql", path.string());
  }
  std::from_chars(stem.data(), stem.data() + 4, migration.number);
  migration.name = stem.substr(5);

  std::ifstream file(path, std::ios::binary);
  migration.sql.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  if (!file.good() && !file.eof()) return PermissionDenied("{} cannot be read", path.string());
  if (migration.sql.empty()) return InvalidArgument("{} is empty or cannot be read", path.string());
  if (migration.sql.find('\0') != std::string::npos) return InvalidArgument("{} holds a NUL byte", path.string());
  RETURN_IF_ERROR(CheckEndsNoTransaction(migration));
  migration.sha256 = Sha256(AsBytes(migration.sql));
  return migration;
}

// Holds the advisory lock of the database from Take() to its end.
class MigrationLock {
 public:
  static absl::StatusOr<MigrationLock> Take(Connection& connection, const Migrator::Progress& progress) {
    ASSIGN_OR_RETURN(const Result tried,
                     connection.Execute("SELECT pg_try_advisory_lock($1)", Parameters().Int64(kAdvisoryLock)));
    ASSIGN_OR_RETURN(const bool taken, tried.Value<bool>());
    if (!taken) {
      progress("waiting for another program that migrates this database");
      RETURN_IF_ERROR(connection.Execute("SELECT pg_advisory_lock($1)", Parameters().Int64(kAdvisoryLock)).status());
    }
    return MigrationLock(&connection);
  }
  MigrationLock(MigrationLock&& other) noexcept : connection_(std::exchange(other.connection_, nullptr)) {}
  ~MigrationLock() {
    // The server drops the lock of a connection that ended.
    if (connection_ == nullptr || !connection_->ok()) return;
    connection_->Execute("SELECT pg_advisory_unlock($1)", Parameters().Int64(kAdvisoryLock)).status().IgnoreError();
  }

 private:
  explicit MigrationLock(Connection* connection) : connection_(connection) {}
  Connection* connection_;
};

absl::Status ApplyOne(Connection& connection, const Migration& migration, std::string_view version) {
  ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(connection));
  RETURN_IF_ERROR(connection.ExecuteScript(migration.sql));
  if (!connection.InTransaction()) return Internal("ended its transaction, so a part of it may have been applied");
  RETURN_IF_ERROR(
      connection
          .Execute(kInsert,
                   Parameters().Int64(migration.number).Text(migration.name).Bytes(migration.sha256).Text(version))
          .status());
  return transaction.Commit();
}

}  // namespace

absl::StatusOr<Migrator> Migrator::Create(const std::string& directory) {
  std::vector<std::filesystem::path> paths;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().extension() == ".sql") paths.push_back(entry->path());
  }
  if (error) return NotFound("the directory of migrations {} cannot be read: {}", directory, error.message());
  if (paths.empty()) return NotFound("there are no migrations (*.sql) in {}", directory);
  std::sort(paths.begin(), paths.end());

  std::vector<Migration> migrations;
  for (const std::filesystem::path& path : paths) {
    ASSIGN_OR_RETURN(Migration migration, ReadMigration(path));
    const int expected = static_cast<int>(migrations.size()) + 1;
    if (migration.number < expected) {
      return InvalidArgument("{} and {} have the same number", migrations.back().file_name, migration.file_name);
    }
    if (migration.number > expected) {
      return InvalidArgument("migration {:04} is missing in {}: the next file is {}", expected, directory,
                             migration.file_name);
    }
    migrations.push_back(std::move(migration));
  }
  return Migrator(directory, std::move(migrations));
}

// Compares what the database records with the files and sets the number of those applied.
absl::Status Migrator::CheckApplied(Connection& connection, size_t& applied) const {
  applied = 0;
  ASSIGN_OR_RETURN(const Result table, connection.Execute(kTableExists));
  ASSIGN_OR_RETURN(const bool exists, table.Value<bool>());
  if (!exists) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Result rows, connection.Execute(kSelectApplied));
  for (const Row row : rows) {
    int number = 0;
    std::string name, version;
    std::string sha256;
    RETURN_IF_ERROR(row.Scan(number, name, sha256, version));
    if (number > static_cast<int>(migrations_.size())) {
      return FailedPrecondition(
          "the database has migration {}, which {} does not: the newer version {} made it; install that version or a "
          "later one",
          FileName(number, name), directory_, version);
    }
    if (number != static_cast<int>(applied) + 1) {
      return FailedPrecondition(
          "the database does not record migration {:04} but records {}; its table "
          "public.schema_migration was changed by hand",
          applied + 1, FileName(number, name));
    }
    const Migration& migration = migrations_[applied];
    if (migration.name != name) {
      return FailedPrecondition("migration {} was applied to the database but is missing in {} (there is {})",
                                FileName(number, name), directory_, migration.file_name);
    }
    if (AsText(migration.sha256) != sha256) {
      return FailedPrecondition(
          "{} was edited after it was applied: restore the file of version {} and put the change into a new migration",
          migration.file_name, version);
    }
    ++applied;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Migration>> Migrator::Plan(Connection& connection) const {
  size_t applied = 0;
  RETURN_IF_ERROR(CheckApplied(connection, applied));
  return std::vector<Migration>(migrations_.begin() + static_cast<ptrdiff_t>(applied), migrations_.end());
}

absl::StatusOr<int> Migrator::Apply(Connection& connection, std::string_view version, const Progress& progress) const {
  RETURN_IF_ERROR(connection.SetQueryTimeout(absl::InfiniteDuration()));
  ASSIGN_OR_RETURN(const MigrationLock lock, MigrationLock::Take(connection, progress));
  size_t applied = 0;
  RETURN_IF_ERROR(CheckApplied(connection, applied));
  if (applied == 0) RETURN_IF_ERROR(connection.ExecuteScript(kCreateTable));
  int count = 0;
  for (size_t i = applied; i < migrations_.size(); ++i, ++count) {
    const Migration& migration = migrations_[i];
    progress(fmt::format("applying migration {} ({} of {})", migration.file_name, i + 1, migrations_.size()));
    if (absl::Status status = ApplyOne(connection, migration, version); !status.ok()) {
      return Annotate(status, migration.file_name);
    }
  }
  return count;
}

}  // namespace trustline
