#include "common/postgres/transaction.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <thread>

#include "common/postgres/sql_error.h"

namespace trustline {
namespace {

Statement BeginStatement(const TransactionOptions& options) {
  switch (options.isolation) {
    case Isolation::kReadCommitted:
      return options.read_only ? Statement{"begin_read", "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"}
                               : Statement{"begin", "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"};
    case Isolation::kRepeatableRead:
      return options.read_only ? Statement{"begin_repeatable_read", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"}
                               : Statement{"begin_repeatable", "BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE"};
    case Isolation::kSerializable:
      return options.read_only ? Statement{"begin_serializable_read", "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY"}
                               : Statement{"begin_serializable", "BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE"};
  }
  return {"begin", "BEGIN"};
}

// Two transactions that keep colliding must not retry in step: a random pause, its bound doubling with each attempt.
void PauseBeforeRetry(int attempt) {
  thread_local std::minstd_rand random(std::random_device{}());
  const int bound_ms = 5 << std::min(attempt, 6);
  std::this_thread::sleep_for(std::chrono::milliseconds(std::uniform_int_distribution<int>(1, bound_ms)(random)));
}

}  // namespace

absl::StatusOr<Transaction> Transaction::Begin(Connection& connection, const TransactionOptions& options) {
  if (connection.InTransaction()) return FailedPrecondition("the connection has an open transaction already");
  // A hot standby refuses READ WRITE; there every transaction must be asked for as read-only.
  connection.ExecuteWithNext(BeginStatement(options));
  return Transaction(&connection);
}

Transaction::~Transaction() {
  // A failed rollback leaves the connection broken or in a transaction, and whoever uses it next is told so.
  Rollback().IgnoreError();
}

absl::Status Transaction::Commit() {
  if (connection_ == nullptr) return FailedPrecondition("the transaction has ended already");
  Connection* const connection = std::exchange(connection_, nullptr);
  static constexpr Statement kCommit = {"commit", "COMMIT"};
  const absl::StatusOr<Result> result = connection->Execute(kCommit);
  if (!result.ok()) {
    // What was sent with it failed.
    if (connection->ok() && connection->InTransaction()) connection->Execute("ROLLBACK").IgnoreError();
    return result.status();
  }
  if (result->command() != "COMMIT") {
    return FailedPrecondition("the transaction was rolled back because one of its statements had failed");
  }
  return absl::OkStatus();
}

absl::Status Transaction::Rollback() {
  if (connection_ == nullptr) return absl::OkStatus();
  Connection* const connection = std::exchange(connection_, nullptr);
  connection->ForgetUnsent();
  if (!connection->ok() || !connection->InTransaction()) return absl::OkStatus();
  return connection->Execute("ROLLBACK").status();
}

namespace transaction_internal {

absl::Status Run(Connection& connection, const TransactionOptions& options,
                 const std::function<absl::Status(Connection&)>& body) {
  if (options.max_attempts < 1) return InvalidArgument("a transaction needs at least one attempt");
  for (int attempt = 1;; ++attempt) {
    absl::Status status;
    {
      ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(connection, options));
      status = body(connection);
      if (status.ok()) status = transaction.Commit();
    }
    if (!absl::IsAborted(status) || SqlStateOf(status).empty() || !connection.ok()) return status;
    if (attempt == options.max_attempts) return Annotate(status, fmt::format("given up after {} attempts", attempt));
    PauseBeforeRetry(attempt);
  }
}

}  // namespace transaction_internal
}  // namespace trustline
