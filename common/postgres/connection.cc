#include "common/postgres/connection.h"

#include <libpq-fe.h>
#include <poll.h>

#include <limits>

#include "common/postgres/connect.h"
#include "common/postgres/conversation.h"
#include "common/postgres/sql_error.h"
#include "common/status/status.h"

namespace trustline {
namespace {

// Rows of a COPY are handed to libpq in pieces of this size.
constexpr size_t kCopyPiece = 64 * 1024;

// statement_timeout takes milliseconds in an int; 0 is no limit.
std::string SetStatementTimeout(absl::Duration timeout) {
  const int64_t most = std::numeric_limits<int32_t>::max();
  const int64_t milliseconds =
      timeout > absl::Milliseconds(most) ? 0 : std::max<int64_t>(1, absl::ToInt64Milliseconds(timeout));
  return fmt::format("SET statement_timeout = {}", milliseconds);
}

void AppendCopyRow(const Parameters& row, std::string& out) {
  const auto append = [&](uint32_t value, int bytes) {
    for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
  };
  append(static_cast<uint32_t>(row.size()), 2);
  for (size_t i = 0; i < row.size(); ++i) {
    append(row.is_null(i) ? 0xffffffff : static_cast<uint32_t>(row.length(i)), 4);
    if (!row.is_null(i)) out.append(row.data(i), row.length(i));
  }
}

}  // namespace

struct Connection::State : Conversation {
  using Conversation::Conversation;

  absl::Status PutCopyData(std::string& data, const WaitDeadline& deadline) {
    while (true) {
      const int put = PQputCopyData(conn(), data.data(), static_cast<int>(data.size()));
      if (put == 1) {
        data.clear();
        return Flush(1, deadline);
      }
      if (put < 0) return Break(StatusOfConnection(conn()));
      RETURN_IF_ERROR(Flush(1, deadline));
    }
  }
};

Connection::Connection(std::unique_ptr<State> state) : state_(std::move(state)) {}
Connection::Connection(Connection&&) noexcept = default;
Connection& Connection::operator=(Connection&&) noexcept = default;
Connection::~Connection() = default;

absl::StatusOr<Connection> Connection::Open(const ConnectionOptions& options) {
  if (options.connect_timeout <= absl::ZeroDuration() || options.query_timeout <= absl::ZeroDuration()) {
    return InvalidArgument("the timeouts of a PostgreSQL connection must be above zero");
  }
  ASSIGN_OR_RETURN(NewConnection opened, ConnectToFirstHost(options));
  auto state = std::make_unique<State>(std::move(opened), options);
  if (PQsetnonblocking(state->conn(), 1) != 0) return StatusOfConnection(state->conn());
  Connection connection(std::move(state));
  RETURN_IF_ERROR(connection.ExecuteScript("SET TIME ZONE 'UTC'; " + SetStatementTimeout(options.query_timeout)));
  return connection;
}

absl::StatusOr<Result> Connection::Execute(const char* sql, const Parameters& parameters) {
  return state_->Run({.name = nullptr, .sql = sql, .parameters = parameters}, state_->Deadline());
}

absl::StatusOr<Result> Connection::Execute(const Statement& statement, const Parameters& parameters) {
  return state_->Run({.name = statement.name, .sql = statement.sql, .parameters = parameters}, state_->Deadline());
}

void Connection::ExecuteWithNext(const Statement& statement, Parameters parameters) {
  state_->Queue({.name = statement.name, .sql = statement.sql, .parameters = std::move(parameters)});
}

void Connection::ForgetUnsent() { state_->ForgetQueued(); }

absl::Status Connection::ForEachRow(const Statement& statement, const Parameters& parameters,
                                    const RowCallback& on_row) {
  const WaitDeadline deadline = state_->Deadline();
  RETURN_IF_ERROR(state_->RunQueued(deadline));
  const Command command = {.name = statement.name, .sql = statement.sql, .parameters = parameters};
  if (absl::Status sent = state_->Send(command, deadline); !sent.ok()) return Annotate(sent, statement.name);
  if (PQsetSingleRowMode(state_->conn()) != 1) {
    return state_->Break(Internal("{}: libpq refused single-row mode", statement.name));
  }
  absl::Status callback_error;
  absl::Status drained = state_->Drain(deadline, [&](PgResultPtr pg_result) {
    const Result result(pg_result.release());
    for (const Row row : result) {
      callback_error = on_row(row);
      RETURN_IF_ERROR(callback_error);
    }
    return absl::OkStatus();
  });
  return callback_error.ok() ? Annotate(drained, statement.name) : callback_error;
}

absl::Status Connection::ExecuteScript(const std::string& sql) {
  const WaitDeadline deadline = state_->Deadline();
  RETURN_IF_ERROR(state_->Usable());
  if (sql.find('\0') != std::string::npos) return InvalidArgument("the SQL script holds a NUL character");
  RETURN_IF_ERROR(state_->RunQueued(deadline));
  RETURN_IF_ERROR(state_->Flush(PQsendQuery(state_->conn(), sql.c_str()), deadline));
  return state_->Drain(deadline, [](PgResultPtr) { return absl::OkStatus(); });
}

absl::StatusOr<int64_t> Connection::CopyIn(std::string_view target, const RowSource& next_row) {
  const WaitDeadline deadline = state_->Deadline();
  PGconn* const conn = state_->conn();
  RETURN_IF_ERROR(state_->Usable());
  RETURN_IF_ERROR(state_->RunQueued(deadline));
  const std::string sql = fmt::format("COPY {} FROM STDIN (FORMAT binary)", target);
  RETURN_IF_ERROR(state_->Flush(PQsendQuery(conn, sql.c_str()), deadline));
  ASSIGN_OR_RETURN(PgResultPtr started, state_->Next(deadline));
  if (PQresultStatus(started.get()) != PGRES_COPY_IN) {
    const absl::Status error = state_->ErrorOf(started.get());
    state_->Drain(deadline, [](PgResultPtr) { return absl::OkStatus(); }).IgnoreError();
    return Annotate(error, target);
  }

  // Manual, COPY, "Binary Format": signature, flags, length of the header extension; rows; -1.
  std::string piece("PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0", 19);
  absl::Status source_error;
  Parameters row;
  while (true) {
    row.Clear();
    absl::StatusOr<bool> more = next_row(row);
    source_error = more.ok() ? row.status() : more.status();
    if (!source_error.ok() || !*more) break;
    AppendCopyRow(row, piece);
    if (piece.size() >= kCopyPiece) RETURN_IF_ERROR(state_->PutCopyData(piece, deadline));
  }
  if (source_error.ok()) {
    piece += "\xff\xff";
    RETURN_IF_ERROR(state_->PutCopyData(piece, deadline));
  }
  while (true) {
    const int ended = PQputCopyEnd(conn, source_error.ok() ? nullptr : "the rows could not be made");
    if (ended < 0) return state_->Break(StatusOfConnection(conn));
    RETURN_IF_ERROR(state_->Flush(1, deadline));
    if (ended == 1) break;
  }
  absl::StatusOr<Result> result = state_->LastResult(deadline);
  if (!source_error.ok()) return source_error;
  if (!result.ok()) return Annotate(result.status(), target);
  return result->affected();
}

absl::Status Connection::Listen(std::string_view channel) {
  ASSIGN_OR_RETURN(const std::string quoted, QuoteIdentifier(channel));
  return ExecuteScript("LISTEN " + quoted);
}

absl::StatusOr<std::optional<Notification>> Connection::WaitForNotification(absl::Duration timeout) {
  struct FreeNotify {
    void operator()(PGnotify* notify) const { PQfreemem(notify); }
  };
  const WaitDeadline deadline = WaitDeadline::After(timeout);
  RETURN_IF_ERROR(state_->Usable());
  while (true) {
    const std::unique_ptr<PGnotify, FreeNotify> notify(PQnotifies(state_->conn()));
    if (notify != nullptr) return Notification{notify->relname, notify->extra};
    const absl::Status ready = WaitForSocket(PQsocket(state_->conn()), POLLIN, deadline, state_->interrupt());
    if (absl::IsDeadlineExceeded(ready)) return std::nullopt;
    RETURN_IF_ERROR(ready);
    RETURN_IF_ERROR(state_->Consume());
  }
}

absl::Status Connection::SetQueryTimeout(absl::Duration timeout) {
  if (timeout <= absl::ZeroDuration()) return InvalidArgument("a query timeout must be above zero");
  // A rollback would undo it.
  if (InTransaction()) return FailedPrecondition("the query timeout cannot change inside a transaction");
  RETURN_IF_ERROR(ExecuteScript(SetStatementTimeout(timeout)));
  state_->set_query_timeout(timeout);
  return absl::OkStatus();
}

absl::Status Connection::SetRolePassword(std::string_view role, const SecretBytes& password) {
  RETURN_IF_ERROR(state_->Usable());
  struct Free {
    void operator()(char* memory) const { PQfreemem(memory); }
  };
  std::string with_end(password.ExposeSecret());
  with_end.push_back('\0');
  const SecretBytes terminated = SecretBytes::TakeFrom(with_end);
  const std::string role_name(role);
  // Hashed here, so that the password itself reaches no server log.
  const std::unique_ptr<char, Free> verifier(
      PQencryptPasswordConn(state_->conn(), terminated.ExposeSecret().data(), role_name.c_str(), "scram-sha-256"));
  if (verifier == nullptr) return Internal("the password of role \"{}\" could not be hashed", role);
  ASSIGN_OR_RETURN(const std::string identifier, QuoteIdentifier(role));
  ASSIGN_OR_RETURN(const std::string literal, QuoteLiteral(verifier.get()));
  return ExecuteScript(fmt::format("ALTER ROLE {} PASSWORD {}", identifier, literal));
}

bool Connection::ok() const { return !state_->is_broken() && PQstatus(state_->conn()) == CONNECTION_OK; }

bool Connection::CheckAlive() {
  // What an idle connection may have received is notices, notifications, or a farewell and the end of the stream.
  constexpr int kMostReads = 100;
  for (int reads = 0; ok() && reads < kMostReads; ++reads) {
    pollfd fd = {.fd = PQsocket(state_->conn()), .events = POLLIN, .revents = 0};
    if (poll(&fd, 1, 0) <= 0) break;
    if (!state_->Consume().ok()) break;
    PQisBusy(state_->conn());  // parses what was read
  }
  return ok();
}

bool Connection::InTransaction() const {
  const PGTransactionStatusType status = PQtransactionStatus(state_->conn());
  return state_->has_queued() || status == PQTRANS_INTRANS || status == PQTRANS_INERROR || status == PQTRANS_ACTIVE;
}

int Connection::backend_pid() const { return PQbackendPID(state_->conn()); }

namespace {
absl::StatusOr<std::string> Escaped(PGconn* conn, std::string_view text,
                                    char* (*escape)(PGconn*, const char*, size_t)) {
  if (text.find('\0') != std::string_view::npos) return InvalidArgument("a text for SQL holds a NUL character");
  char* const escaped = escape(conn, text.data(), text.size());
  if (escaped == nullptr) return InvalidArgument("a text for SQL is not valid UTF-8");
  std::string result(escaped);
  PQfreemem(escaped);
  return result;
}
}  // namespace

absl::StatusOr<std::string> Connection::QuoteLiteral(std::string_view text) const {
  return Escaped(state_->conn(), text, PQescapeLiteral);
}

absl::StatusOr<std::string> Connection::QuoteIdentifier(std::string_view text) const {
  return Escaped(state_->conn(), text, PQescapeIdentifier);
}

}  // namespace trustline
