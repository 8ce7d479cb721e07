// Transactions that end with their scope, and the retry of those that PostgreSQL asks to repeat.
#pragma once

#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/postgres/connection.h"
#include "common/postgres/pool.h"
#include "common/status/status.h"

namespace trustline {

enum class Isolation { kReadCommitted, kRepeatableRead, kSerializable };

struct TransactionOptions {
  Isolation isolation = Isolation::kReadCommitted;
  bool read_only = false;
  // RunInTransaction(): how often the whole is tried while PostgreSQL answers serialization failure or deadlock.
  int max_attempts = 5;
};

// Rolled back when destroyed before Commit() succeeded. Borrows the connection.
class Transaction {
 public:
  // FailedPrecondition when the connection already has an open transaction.
  static absl::StatusOr<Transaction> Begin(Connection& connection, const TransactionOptions& options = {});
  Transaction(Transaction&& other) noexcept : connection_(std::exchange(other.connection_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();

  // FailedPrecondition when an earlier statement had failed, so that PostgreSQL rolled back instead. Whether a commit
  // took effect that ended with Unavailable, DeadlineExceeded or Cancelled is unknown.
  absl::Status Commit();

  // Idempotent.
  absl::Status Rollback();

  Connection& connection() const { return *connection_; }

 private:
  explicit Transaction(Connection* connection) : connection_(connection) {}
  Connection* connection_;  // null when ended
};

namespace transaction_internal {
absl::Status Run(Connection& connection, const TransactionOptions& options,
                 const std::function<absl::Status(Connection&)>& body);

template <typename T>
struct IsStatusOr : std::false_type {};
template <typename T>
struct IsStatusOr<absl::StatusOr<T>> : std::true_type {};
}  // namespace transaction_internal

// Runs `body(Connection&)`, which returns a Status or StatusOr<T>, in a transaction and commits when it succeeded. An
// Aborted from the server begins the whole again after a short random pause, so `body` must have no other effects.
// Never repeats after a lost connection.
template <typename Body>
auto RunInTransaction(Connection& connection, const TransactionOptions& options, Body&& body)
    -> std::invoke_result_t<Body&, Connection&> {
  using R = std::invoke_result_t<Body&, Connection&>;
  if constexpr (transaction_internal::IsStatusOr<R>::value) {
    std::optional<R> result;
    RETURN_IF_ERROR(transaction_internal::Run(connection, options, [&](Connection& c) -> absl::Status {
      result.emplace(body(c));
      return result->status();
    }));
    return *std::move(result);
  } else {
    static_assert(std::is_same_v<R, absl::Status>, "the body returns absl::Status or absl::StatusOr<T>");
    return transaction_internal::Run(connection, options, std::ref(body));
  }
}

// The same on a connection of the pool.
template <typename Body>
auto RunInTransaction(Pool& pool, const TransactionOptions& options, Body&& body)
    -> std::invoke_result_t<Body&, Connection&> {
  ASSIGN_OR_RETURN(Pool::Lease lease, pool.Acquire());
  return RunInTransaction(*lease, options, std::forward<Body>(body));
}

}  // namespace trustline
