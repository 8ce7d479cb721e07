// Making a libpq connection without blocking past a timeout. Internal to this directory.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/postgres/connection.h"

struct pg_conn;

namespace trustline {

struct FinishConnection {
  void operator()(pg_conn* connection) const;
};
using PgConnPtr = std::unique_ptr<pg_conn, FinishConnection>;

struct NewConnection {
  PgConnPtr connection;
  // The connection string asks for a server that can be written to, so one that has turned read-only is of no use.
  bool wants_writable = false;
};

// Tries the hosts of the connection string in turn, each with its own timeout: libpq's own non-blocking connect stays
// with a host that does not answer, and its blocking one cannot be interrupted.
absl::StatusOr<NewConnection> ConnectToFirstHost(const ConnectionOptions& options);

}  // namespace trustline
