#include "tests/support/scratch_database.h"

#include <atomic>
#include <mutex>

#include "common/postgres/migration.h"
#include "common/status/status.h"
#include "tests/support/postgres_cluster.h"

namespace trustline {
namespace {

constexpr char kTemplate[] = "scratch_template";

// What all tests of the process share.
struct SharedCluster {
  std::mutex mutex;
  PostgresCluster cluster;
  bool has_template = false;
};

SharedCluster& Shared() {
  static SharedCluster shared;
  return shared;
}

std::string ConninfoOf(std::string_view database, std::string_view role) {
  return fmt::format("host={} dbname={} user={}", Shared().cluster.socket_directory(), database, role);
}

absl::StatusOr<Connection> ConnectTo(std::string_view database, std::string_view role) {
  return Connection::Open({.conninfo = ConninfoOf(database, role),
                           .application_name = "test",
                           .connect_timeout = absl::Seconds(20),
                           .query_timeout = absl::Seconds(60)});
}

// Runs what a test may have killed, stopped or frozen. Needs the mutex.
absl::Status Repair() {
  if (Shared().cluster.paused()) RETURN_IF_ERROR(Shared().cluster.Resume());
  return Shared().cluster.Start();
}

absl::Status MakeTemplate() {
  ASSIGN_OR_RETURN(const Migrator migrator, Migrator::Create(TRUSTLINE_MIGRATIONS));
  ASSIGN_OR_RETURN(Connection server, ConnectTo("postgres", "postgres"));
  // One may be left from migrations that failed.
  RETURN_IF_ERROR(server.Execute(fmt::format("DROP DATABASE IF EXISTS {}", kTemplate).c_str()).status());
  RETURN_IF_ERROR(server.Execute(fmt::format("CREATE DATABASE {}", kTemplate).c_str()).status());
  ASSIGN_OR_RETURN(Connection connection, ConnectTo(kTemplate, "postgres"));
  return migrator.Apply(connection, TRUSTLINE_VERSION, [](std::string_view) {}).status();
}

absl::StatusOr<std::string> CreateDatabase(const char* from) {
  static std::atomic<int> count = 0;
  std::string name = fmt::format("scratch_{}", ++count);
  ASSIGN_OR_RETURN(Connection server, ConnectTo("postgres", "postgres"));
  RETURN_IF_ERROR(server.Execute(fmt::format("CREATE DATABASE {} TEMPLATE {}", name, from).c_str()).status());
  return name;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ScratchDatabase>> ScratchDatabase::Create() {
  const std::lock_guard lock(Shared().mutex);
  RETURN_IF_ERROR(Repair());
  if (!Shared().has_template) {
    RETURN_IF_ERROR(MakeTemplate());
    Shared().has_template = true;
  }
  ASSIGN_OR_RETURN(std::string name, CreateDatabase(kTemplate));
  return std::unique_ptr<ScratchDatabase>(new ScratchDatabase(std::move(name)));
}

absl::StatusOr<std::unique_ptr<ScratchDatabase>> ScratchDatabase::CreateEmpty() {
  const std::lock_guard lock(Shared().mutex);
  RETURN_IF_ERROR(Repair());
  ASSIGN_OR_RETURN(std::string name, CreateDatabase("template0"));
  return std::unique_ptr<ScratchDatabase>(new ScratchDatabase(std::move(name)));
}

ScratchDatabase::~ScratchDatabase() {
  const std::lock_guard lock(Shared().mutex);
  if (!Shared().cluster.running() || Shared().cluster.paused()) return;
  // A database that stays costs only space until the process ends.
  if (auto server = ConnectTo("postgres", "postgres"); server.ok()) {
    server->Execute(fmt::format("DROP DATABASE IF EXISTS {} WITH (FORCE)", name_).c_str()).status().IgnoreError();
  }
}

std::string ScratchDatabase::Conninfo(std::string_view role) const { return ConninfoOf(name_, role); }

absl::StatusOr<Connection> ScratchDatabase::Connect(std::string_view role) const { return ConnectTo(name_, role); }

absl::Status ScratchDatabase::Kill() {
  const std::lock_guard lock(Shared().mutex);
  return Shared().cluster.Kill();
}

absl::Status ScratchDatabase::Stop() {
  const std::lock_guard lock(Shared().mutex);
  return Shared().cluster.Stop();
}

absl::Status ScratchDatabase::Restart() {
  const std::lock_guard lock(Shared().mutex);
  RETURN_IF_ERROR(Shared().cluster.Stop());
  return Shared().cluster.Start();
}

absl::Status ScratchDatabase::Pause() {
  const std::lock_guard lock(Shared().mutex);
  return Shared().cluster.Pause();
}

absl::Status ScratchDatabase::Resume() {
  const std::lock_guard lock(Shared().mutex);
  return Shared().cluster.Resume();
}

}  // namespace trustline
