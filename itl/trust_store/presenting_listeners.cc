#include "itl/trust_store/presenting_listeners.h"

#include "common/status/status.h"

namespace trustline {
namespace {

constexpr absl::Duration kPresentedFor = absl::Minutes(1);

constexpr Statement kTvsNodes = {
    "presenting_tvs_nodes",
    "SELECT DISTINCT n.name FROM node n LEFT JOIN tvs_node_certificate c ON c.cluster_id = $1 AND c.node = n.name "
    "WHERE n.removed_at IS NULL AND coalesce(c.sha256, n.tvs_sha256) = $2 ORDER BY n.name"};
// "berlin [::]:3804": a node's name has no space.
constexpr Statement kCapfListeners = {
    "presenting_capf_listeners",
    "SELECT split_part(listener, ' ', 1), substr(listener, strpos(listener, ' ') + 1) FROM capf_presented WHERE "
    "cluster_id = $1 AND sha256 = $2 AND said_at > $3 ORDER BY listener"};

}  // namespace

absl::StatusOr<std::vector<std::string>> PresentingTvsNodes(Connection& connection, int32_t cluster_id,
                                                            const Sha256Digest& sha256) {
  ASSIGN_OR_RETURN(const Result rows, connection.Execute(kTvsNodes, Parameters().Int64(cluster_id).Bytes(sha256)));
  std::vector<std::string> nodes;
  for (const Row row : rows) {
    ASSIGN_OR_RETURN(nodes.emplace_back(), row.Get<std::string>(0));
  }
  return nodes;
}

absl::StatusOr<std::vector<CapfListenerName>> PresentingCapfListeners(Connection& connection, int32_t cluster_id,
                                                                      const Sha256Digest& sha256, absl::Time now) {
  ASSIGN_OR_RETURN(
      const Result rows,
      connection.Execute(kCapfListeners, Parameters().Int64(cluster_id).Bytes(sha256).Time(now - kPresentedFor)));
  std::vector<CapfListenerName> listeners;
  for (const Row row : rows) {
    CapfListenerName& one = listeners.emplace_back();
    RETURN_IF_ERROR(row.Scan(one.node, one.listener));
  }
  return listeners;
}

}  // namespace trustline
