// The one place that reads SQLSTATE (PostgreSQL 15 manual, appendix A) and turns PostgreSQL's errors into Status.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

struct pg_conn;
struct pg_result;

namespace trustline {

// Payload types of a Status made from a server's error; they survive Annotate().
inline constexpr char kSqlStatePayload[] = "postgres.sqlstate";
inline constexpr char kConstraintPayload[] = "postgres.constraint";

// The Status code of a five-character SQLSTATE:
//   unique or exclusion violation -> AlreadyExists; other integrity violations, read-only transaction, RAISE EXCEPTION
//   -> FailedPrecondition; serialization failure, deadlock -> Aborted; connection lost, server shutting down or
//   starting -> Unavailable; too many connections, out of memory or disk -> ResourceExhausted; insufficient privilege
//   -> PermissionDenied; wrong password -> Unauthenticated; query cancelled, lock timeout -> DeadlineExceeded; bad data
//   -> InvalidArgument; unknown database -> NotFound; anything else (a mistake in our SQL) -> Internal.
absl::StatusCode CodeOfSqlState(std::string_view sqlstate);

// The error of a failed result: the server's message, detail and hint, never the text of the statement (it may hold a
// secret); of a full disk it says so first. A result without SQLSTATE means that the connection was lost.
absl::Status StatusOfFailedResult(const pg_result* result);

// Why a connection could not be made or was lost.
absl::Status StatusOfConnection(const pg_conn* connection);

// Empty when the Status does not come from the server.
std::string SqlStateOf(const absl::Status& status);

// The name of the violated constraint; empty when the Status has none.
std::string ConstraintOf(const absl::Status& status);

}  // namespace trustline
