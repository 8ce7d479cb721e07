// Brings a database to the schema of a directory of migrations.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/bytes/sha256.h"
#include "common/postgres/connection.h"

namespace trustline {

// One file NNNN_name.sql: one change, run in a transaction of its own.
struct Migration {
  int number;
  std::string name;       // without number and suffix
  std::string file_name;  // as in the directory
  std::string sql;
  Sha256Digest sha256;  // of the file
};

// Applied migrations are recorded in table public.schema_migration (number, name, SHA-256, when, version), which
// everyone may read.
class Migrator {
 public:
  // Called before each step with a sentence for the operator.
  using Progress = std::function<void(std::string_view sentence)>;

  // Reads all files. InvalidArgument, naming the file, for a name of another form, a gap or a duplicate in the numbers
  // (they begin with 0001), a NUL byte, or a file that ends its transaction itself; NotFound for a missing or empty
  // directory.
  static absl::StatusOr<Migrator> Create(const std::string& directory);

  const std::vector<Migration>& migrations() const { return migrations_; }

  // What Apply() would do now; changes nothing. FailedPrecondition, naming the file, when an applied migration was
  // edited or is missing, or when a newer version has made the database.
  absl::StatusOr<std::vector<Migration>> Plan(Connection& connection) const;

  // Applies what is missing and returns how many that were. Waits for another migrator. `version` is recorded. A
  // failing migration leaves nothing of itself behind; those before it stay. Leaves the connection without a query
  // timeout.
  absl::StatusOr<int> Apply(Connection& connection, std::string_view version, const Progress& progress) const;

 private:
  explicit Migrator(std::string directory, std::vector<Migration> migrations)
      : directory_(std::move(directory)), migrations_(std::move(migrations)) {}
  absl::Status CheckApplied(Connection& connection, size_t& applied) const;

  std::string directory_;
  std::vector<Migration> migrations_;
};

}  // namespace trustline
