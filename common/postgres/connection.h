// One connection to PostgreSQL through libpq (PostgreSQL 15 manual, chapter 34), never blocking past its deadline.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/bytes/secret_bytes.h"
#include "common/postgres/interrupt.h"
#include "common/postgres/parameters.h"
#include "common/postgres/result.h"

struct pg_conn;

namespace trustline {

// A statement that is prepared once on each connection, at its first use. `name` stands in error texts. Both are string
// literals.
struct Statement {
  const char* name;
  const char* sql;
};

struct ConnectionOptions {
  // A libpq connection string or URI. With several hosts each is tried in turn. A password comes from its `passfile`.
  std::string conninfo;
  // Shown in pg_stat_activity.
  std::string application_name;
  // For each host.
  absl::Duration connect_timeout = absl::Seconds(5);
  // For each statement: the server cancels it then (the connection stays good); a server that does not even do that
  // is given up half a second later. absl::InfiniteDuration() for no limit.
  absl::Duration query_timeout = absl::Seconds(10);
  // A prepared statement keeps its plan, however its tables grow, until PostgreSQL has looked at them again, once a
  // minute. So long after connecting all are planned anew, then after twice as long each time, up to ten minutes.
  absl::Duration life_of_plans = absl::Seconds(1);
  // Optional; not owned.
  const Interrupt* interrupt = nullptr;
};

struct Notification {
  std::string channel;
  std::string payload;
};

// Move-only; used by one thread at a time. Errors have the codes of sql_error.h. After Unavailable, after a
// DeadlineExceeded from a server that does not answer, and after Cancelled the connection is broken: every further call
// fails, open another. Whether an interrupted COMMIT took effect is then unknown.
class Connection {
 public:
  // InvalidArgument for a connection string that cannot be read (its text is never shown), Unavailable when no host
  // answers. Resolving a host's name may block longer than the timeout.
  static absl::StatusOr<Connection> Open(const ConnectionOptions& options);

  Connection(Connection&&) noexcept;
  Connection& operator=(Connection&&) noexcept;
  ~Connection();

  // Runs one statement, unprepared or prepared.
  absl::StatusOr<Result> Execute(const char* sql, const Parameters& parameters = {});
  absl::StatusOr<Result> Execute(const Statement& statement, const Parameters& parameters = {});

  // Keeps the statement until the next one, and sends both in one round trip: for a beginning, and for what within a
  // transaction nobody needs the result of. Its error is the next one's, which is then not done. One that cannot be
  // sent stays, and so does the error, until it is forgotten.
  void ExecuteWithNext(const Statement& statement, Parameters parameters = {});

  // What is kept is never sent.
  void ForgetUnsent();

  // Hands over each row as it arrives, holding one in memory. An error of `on_row` ends the query and is returned. The
  // query timeout covers the whole. `on_row` must not use this connection.
  using RowCallback = std::function<absl::Status(const Row& row)>;
  absl::Status ForEachRow(const Statement& statement, const Parameters& parameters, const RowCallback& on_row);

  // Runs several statements without parameters; outside a transaction, as one transaction.
  absl::Status ExecuteScript(const std::string& sql);

  // COPY `target` FROM STDIN in binary; `target` is "table (column, ...)". `next_row` fills an empty row, or returns
  // false when there are no more; its error undoes the whole. Returns the number of rows. Columns must be bigint, text,
  // bytea, boolean or timestamptz (binary COPY converts nothing).
  using RowSource = std::function<absl::StatusOr<bool>(Parameters& row)>;
  absl::StatusOr<int64_t> CopyIn(std::string_view target, const RowSource& next_row);

  // Subscribes to a channel until the connection ends.
  absl::Status Listen(std::string_view channel);

  // The next notification; nothing when `timeout` has passed; Cancelled, with the connection still good, when the
  // interrupt was raised.
  absl::StatusOr<std::optional<Notification>> WaitForNotification(absl::Duration timeout);

  absl::Status SetQueryTimeout(absl::Duration timeout);

  // False once the connection is known to be lost.
  bool ok() const;

  // Looks, without asking the server, whether the peer has closed the connection; false then.
  bool CheckAlive();

  // Whether a transaction is open (also a failed one, and one whose beginning is not sent yet).
  bool InTransaction() const;

  // The server's process id for this connection, for tests and logs.
  int backend_pid() const;

  // ALTER ROLE ... PASSWORD with a SCRAM-SHA-256 verifier made here: the server never sees the password.
  absl::Status SetRolePassword(std::string_view role, const SecretBytes& password);

  // `text` as a quoted SQL literal or identifier, for statements that take no parameters.
  absl::StatusOr<std::string> QuoteLiteral(std::string_view text) const;
  absl::StatusOr<std::string> QuoteIdentifier(std::string_view text) const;

 private:
  struct State;
  explicit Connection(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace trustline
