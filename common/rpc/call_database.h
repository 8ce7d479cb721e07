// The database connections that a daemon's calls work on.
#pragma once

#include <initializer_list>
#include <memory>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/postgres/pool.h"
#include "common/rpc/server.h"
#include "common/service/daemon.h"

namespace trustline {

// Connections to the daemon's database. Does not connect. `name` is shown by PostgreSQL; without `query_timeout`
// statements have the usual one.
absl::StatusOr<std::unique_ptr<Pool>> MakeCallPool(const DaemonConfig& config, std::string_view name, int connections,
                                                   std::optional<absl::Duration> query_timeout = std::nullopt);

// No new calls. Running ones have until `patience` is over; those that still do not end, because their statements may
// take longer, lose their connections.
void EndCalls(RpcServer& server, absl::Duration patience, const std::vector<Pool*>& pools);

}  // namespace trustline
