#include "common/postgres/sql_error.h"

#include <libpq-fe.h>

#include <algorithm>
#include <optional>

#include "absl/strings/cord.h"
#include "common/status/status.h"

namespace trustline {
namespace {

// libpq ends its texts with a line break and continues them on indented lines; a Status is one line.
std::string OneLine(std::string_view text) {
  std::string line;
  for (const char c : text) {
    const bool space = c == '\n' || c == '\t' || c == ' ';
    if (!space) {
      line.push_back(c);
    } else if (!line.empty() && line.back() != ' ') {
      line.push_back(' ');
    }
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

constexpr std::string_view kDiskFull = "53100";

absl::Status WithSqlState(std::string_view sqlstate, std::string message) {
  // PostgreSQL speaks of a file that cannot be extended.
  if (sqlstate == kDiskFull) message.insert(0, "the database's disk is full: ");
  absl::Status status(CodeOfSqlState(sqlstate), message);
  status.SetPayload(kSqlStatePayload, absl::Cord(absl::string_view(sqlstate.data(), sqlstate.size())));
  return status;
}

std::string PayloadOf(const absl::Status& status, const char* type) {
  const auto payload = status.GetPayload(type);
  return payload.has_value() ? std::string(*payload) : std::string();
}

// Five digits or capitals; every SQLSTATE has a digit, which tells it from "FATAL".
bool IsSqlState(std::string_view text) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  return text.size() == 5 && std::any_of(text.begin(), text.end(), is_digit) &&
         std::all_of(text.begin(), text.end(), [&](char c) { return is_digit(c) || (c >= 'A' && c <= 'Z'); });
}

}  // namespace

absl::StatusCode CodeOfSqlState(std::string_view sqlstate) {
  using enum absl::StatusCode;
  struct Mapping {
    std::string_view sqlstate;  // or its first two characters, the class
    absl::StatusCode code;
  };
  // The first match decides.
  static constexpr Mapping kMappings[] = {
      {"23505", kAlreadyExists},       // unique_violation
      {"23P01", kAlreadyExists},       // exclusion_violation
      {"23", kFailedPrecondition},     // integrity constraint violation
      {"40001", kAborted},             // serialization_failure
      {"40P01", kAborted},             // deadlock_detected
      {"40", kFailedPrecondition},     // transaction rolled back for another reason
      {"08", kUnavailable},            // connection exception
      {"57014", kDeadlineExceeded},    // query_canceled, by statement_timeout
      {"57P04", kNotFound},            // database_dropped
      {"57", kUnavailable},            // operator intervention: shutdown, crash, starting up
      {"55P03", kDeadlineExceeded},    // lock_not_available, by lock_timeout
      {"55", kFailedPrecondition},     // object not in prerequisite state
      {"25P03", kUnavailable},         // idle_in_transaction_session_timeout, which ends the connection
      {"25", kFailedPrecondition},     // invalid transaction state, with read_only_sql_transaction
      {"P0001", kFailedPrecondition},  // raise_exception
      {"P0002", kNotFound},            // no_data_found
      {"42501", kPermissionDenied},    // insufficient_privilege
      {"28", kUnauthenticated},        // invalid authorization
      {"3D000", kNotFound},            // invalid_catalog_name: no such database
      {"53", kResourceExhausted},      // too many connections, disk full, out of memory
      {"54", kInvalidArgument},        // program limit exceeded
      {"22", kInvalidArgument},        // data exception
      {"58", kUnavailable},            // system error outside PostgreSQL
      {"XX001", kDataLoss},            // data_corrupted
      {"XX002", kDataLoss},            // index_corrupted
  };
  for (const Mapping& mapping : kMappings) {
    if (sqlstate.substr(0, mapping.sqlstate.size()) == mapping.sqlstate) return mapping.code;
  }
  return kInternal;
}

absl::Status StatusOfFailedResult(const PGresult* result) {
  const auto field = [&](int code) -> std::string_view {
    const char* text = result == nullptr ? nullptr : PQresultErrorField(result, code);
    return text == nullptr ? std::string_view() : std::string_view(text);
  };
  const std::string_view sqlstate = field(PG_DIAG_SQLSTATE);
  if (sqlstate.empty()) {
    const std::string text = result == nullptr ? std::string() : OneLine(PQresultErrorMessage(result));
    return Unavailable("the connection to PostgreSQL was lost: {}", text.empty() ? "no reason given" : text);
  }
  std::string message = OneLine(field(PG_DIAG_MESSAGE_PRIMARY));
  if (const std::string detail = OneLine(field(PG_DIAG_MESSAGE_DETAIL)); !detail.empty()) message += ": " + detail;
  if (const std::string hint = OneLine(field(PG_DIAG_MESSAGE_HINT)); !hint.empty()) message += " Hint: " + hint;
  absl::Status status = WithSqlState(sqlstate, std::move(message));
  if (const std::string_view constraint = field(PG_DIAG_CONSTRAINT_NAME); !constraint.empty()) {
    status.SetPayload(kConstraintPayload, absl::Cord(absl::string_view(constraint.data(), constraint.size())));
  }
  return status;
}

absl::Status StatusOfConnection(const PGconn* connection) {
  // libpq keeps a failed connection's SQLSTATE to itself, but prints it with PQERRORS_VERBOSE, as
  // "FATAL:  28P01: password authentication failed ...\nLOCATION:  auth_failed, auth.c:338".
  const std::string_view text = PQerrorMessage(connection);
  const size_t location = text.find("\nLOCATION:");
  std::string message = OneLine(text.substr(0, location));
  for (size_t at = message.find(": "); at != std::string::npos; at = message.find(": ", at + 1)) {
    const std::string sqlstate = message.substr(at + 2, 5);
    if (!IsSqlState(sqlstate) || message.compare(at + 7, 2, ": ") != 0) continue;
    return WithSqlState(sqlstate, message.erase(at + 2, 7));
  }
  return Unavailable("{}", message.empty() ? "the connection to PostgreSQL was lost" : message);
}

std::string SqlStateOf(const absl::Status& status) { return PayloadOf(status, kSqlStatePayload); }

std::string ConstraintOf(const absl::Status& status) { return PayloadOf(status, kConstraintPayload); }

}  // namespace trustline
