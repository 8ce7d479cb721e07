// What is said on one libpq connection: statements, alone or several in one round trip, and their results. Internal to
// this directory.
#pragma once

#include <libpq-fe.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/postgres/connect.h"
#include "common/postgres/interrupt.h"
#include "common/postgres/parameters.h"
#include "common/postgres/result.h"
#include "common/postgres/socket_wait.h"

namespace trustline {

struct ClearResult {
  void operator()(PGresult* result) const { PQclear(result); }
};
using PgResultPtr = std::unique_ptr<PGresult, ClearResult>;

// A statement with what it is run with. Unprepared when it has no name.
struct Command {
  const char* name;  // null: none
  const char* sql;
  Parameters parameters;
};

// Errors are those of connection.h. Used by one thread at a time.
class Conversation {
 public:
  Conversation(NewConnection opened, const ConnectionOptions& options);

  PGconn* conn() const { return pg_.get(); }
  const Interrupt* interrupt() const { return interrupt_; }
  void set_query_timeout(absl::Duration timeout) { query_timeout_ = timeout; }
  // For one statement, or several that are sent together.
  WaitDeadline Deadline() const;

  // The connection is of no use from now on; returns `why`.
  absl::Status Break(absl::Status why);
  absl::Status Usable();
  bool is_broken() const { return !broken_.ok(); }

  // Sent before the next command, and with it. Of its results nothing is returned but the error.
  void Queue(Command command) { queue_.push_back(std::move(command)); }
  bool has_queued() const { return !queue_.empty(); }
  void ForgetQueued() { queue_.clear(); }
  absl::Status RunQueued(const WaitDeadline& deadline);

  // With what is queued before it, in one round trip. The first error is returned; what comes after it is not done.
  absl::StatusOr<Result> Run(Command command, const WaitDeadline& deadline);

  // Sends one command and leaves its results to the caller.
  absl::Status Send(const Command& command, const WaitDeadline& deadline);

  // `sent` is what PQsend... returned.
  absl::Status Flush(int sent, const WaitDeadline& deadline);

  // The next result of the running command, null after the last.
  absl::StatusOr<PgResultPtr> Next(const WaitDeadline& deadline);

  // Reads all results of the command, calls `on_result` for each good one and returns the first error; the connection
  // is then ready for the next command, unless it broke.
  absl::Status Drain(const WaitDeadline& deadline, const std::function<absl::Status(PgResultPtr)>& on_result);

  absl::StatusOr<Result> LastResult(const WaitDeadline& deadline);
  absl::Status ErrorOf(const PGresult* result);
  absl::Status Consume();

 private:
  absl::Status Wait(short events, const WaitDeadline& deadline);
  absl::StatusOr<std::string> Prepare(const Command& command, const WaitDeadline& deadline);
  absl::Status MakePlansAnew(const WaitDeadline& deadline);
  // What PQsendQuery... returned.
  int Hand(const Command& command, const std::string& prepared_name) const;
  // All that is queued, as one pipeline; the result of the last.
  absl::StatusOr<std::optional<Result>> RunPipeline(const WaitDeadline& deadline);
  absl::StatusOr<std::optional<Result>> ReadPipeline(const std::vector<Command>& commands,
                                                     const WaitDeadline& deadline);

  PgConnPtr pg_;
  const Interrupt* const interrupt_;
  const bool wants_writable_;
  absl::Duration query_timeout_;
  absl::Status broken_;  // why, once it is
  std::vector<Command> queue_;
  // Statement text and parameter types to the name it is prepared under: the same text with other types is another.
  std::map<std::string, std::string> prepared_;
  absl::Duration life_of_plans_;
  WaitDeadline plans_end_;
};

}  // namespace trustline
