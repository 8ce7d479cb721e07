#include <algorithm>

#include "common/service/daemon.h"
#include "common/status/status.h"

namespace trustline {
namespace {

// As the table `node` has it: a lower-case host name.
bool IsNodeName(std::string_view name) {
  auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return !name.empty() && name.size() <= 63 && plain(name.front()) && plain(name.back()) &&
         std::ranges::all_of(name, [&](char c) { return plain(c) || c == '.' || c == '-'; });
}

}  // namespace

absl::StatusOr<DaemonConfig> ReadDaemonConfig(const DaemonDescription& description, ConfigTable root) {
  DaemonConfig config;
  ASSIGN_OR_RETURN(ConfigTable node, root.Table("node"));
  ASSIGN_OR_RETURN(config.node, node.Text("name"));
  if (!IsNodeName(config.node)) return node.Error("name", "must be 1 to 63 of a-z, 0-9, '.' and '-'");

  ASSIGN_OR_RETURN(ConfigTable database, root.Table("database"));
  ASSIGN_OR_RETURN(config.database_connection, database.Text("connection"));
  if (config.database_connection.empty()) return database.Error("connection", "must not be empty");

  ASSIGN_OR_RETURN(ConfigTable identity, root.Table("identity"));
  ASSIGN_OR_RETURN(config.identity, ReadIdentityFiles(identity));
  if (!description.issues_identities) {
    ASSIGN_OR_RETURN(config.identity_renew_from, identity.TextOr("renew_from", ""));
  }

  ASSIGN_OR_RETURN(ConfigTable grpc, root.Table("grpc"));
  ASSIGN_OR_RETURN(config.grpc_address, grpc.TextOr("address", "127.0.0.1"));
  ASSIGN_OR_RETURN(const int64_t grpc_port, grpc.IntegerOr("port", description.grpc_port, 0, 65535));
  config.grpc_port = static_cast<uint16_t>(grpc_port);

  ASSIGN_OR_RETURN(ConfigTable metrics, root.Table("metrics"));
  ASSIGN_OR_RETURN(config.metrics_address, metrics.TextOr("address", "127.0.0.1"));
  ASSIGN_OR_RETURN(const int64_t metrics_port, metrics.IntegerOr("port", description.metrics_port, 0, 65535));
  config.metrics_port = static_cast<uint16_t>(metrics_port);
  if (config.grpc_port != 0 && config.grpc_port == config.metrics_port) {
    return metrics.Error("port", "is the same as grpc.port");
  }

  ASSIGN_OR_RETURN(ConfigTable log, root.Table("log"));
  ASSIGN_OR_RETURN(const std::string level_text, log.TextOr("level", "info"));
  const absl::StatusOr<LogLevel> level = ParseLogLevel(level_text);
  if (!level.ok()) return log.Error("level", StatusMessage(level.status()));
  config.log_level = *level;
  return config;
}

}  // namespace trustline
