#include "common/rpc/call_database.h"

#include <future>
#include <string>

namespace trustline {

absl::StatusOr<std::unique_ptr<Pool>> MakeCallPool(const DaemonConfig& config, std::string_view name, int connections,
                                                   std::optional<absl::Duration> query_timeout) {
  PoolOptions options;
  options.connection.conninfo = config.database_connection;
  options.connection.application_name = std::string(name);
  if (query_timeout) options.connection.query_timeout = *query_timeout;
  options.max_connections = connections;
  return Pool::Create(options);
}

void EndCalls(RpcServer& server, absl::Duration patience, const std::vector<Pool*>& pools) {
  const std::future<void> closed = std::async(std::launch::async, [&] { server.Shutdown(patience); });
  if (closed.wait_for(absl::ToChronoMilliseconds(2 * patience)) != std::future_status::ready) {
    for (Pool* const pool : pools) pool->Shutdown();
  }
  closed.wait();
}

}  // namespace trustline
