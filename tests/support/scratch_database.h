// A real PostgreSQL for tests: one private cluster a test process, a fresh database a test.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/postgres/connection.h"

namespace trustline {

// The cluster starts with the first Create(), listens on a Unix socket in a temporary folder only, trusts everyone
// there and ends with the process, whatever ends it. Run by root it belongs to user postgres or nobody. The fault calls
// act on the whole cluster; the next Create() repairs what a test left.
class ScratchDatabase {
 public:
  // With all of migrations/ applied.
  static absl::StatusOr<std::unique_ptr<ScratchDatabase>> Create();
  static absl::StatusOr<std::unique_ptr<ScratchDatabase>> CreateEmpty();
  ~ScratchDatabase();

  const std::string& name() const { return name_; }

  // The connection string of a role: "postgres" is the superuser, else a role that the migrations made.
  std::string Conninfo(std::string_view role = "postgres") const;

  // A new connection as that role, with options good for tests.
  absl::StatusOr<Connection> Connect(std::string_view role = "postgres") const;

  // Ends the server at once as a crash does (SIGKILL to the postmaster and all its children).
  absl::Status Kill();
  // A clean, fast shutdown.
  absl::Status Stop();
  // Starts the server again (after Kill or Stop; a running one is stopped first) and waits until it answers.
  absl::Status Restart();
  // Freezes every process of the server (SIGSTOP): connections stay open and nothing answers.
  absl::Status Pause();
  absl::Status Resume();

 private:
  explicit ScratchDatabase(std::string name) : name_(std::move(name)) {}
  std::string name_;
};

}  // namespace trustline
