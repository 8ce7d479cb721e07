#include "itl/trust_store/presenting_listeners.h"

#include "common/status/status.h"

namespace trustline {
namespace {

constexpr absl::Duration kPresentedFor = absl::Minutes(1);

constexpr Statement kTvsNodes = {
    "presenting_tvs_nodes",
    "SELECT n.name, coalesce(c.sha256, n.tvs_sha256), c.said_at FROM node n LEFT JOIN tvs_node_certificate c ON "
    "c.cluster_id = $1 AND c.node = n.name WHERE n.removed_at IS NULL AND coalesce(c.sha256, n.tvs_sha256) IS NOT NULL "
    "ORDER BY 1, 2"};
// "berlin [::]:3804": a node's name has no space.
constexpr Statement kCapfListeners = {
    "presenting_capf_listeners",
    "SELECT split_part(listener, ' ', 1), substr(listener, strpos(listener, ' ') + 1) FROM capf_presented WHERE "
    "cluster_id = $1 AND sha256 = $2 AND said_at > $3 ORDER BY listener"};

}  // namespace

absl::StatusOr<std::vector<TvsNodeCertificate>> TvsNodeCertificates(Connection& connection, int32_t cluster_id) {
  ASSIGN_OR_RETURN(const Result rows, connection.Execute(kTvsNodes, Parameters().Int64(cluster_id)));
  std::vector<TvsNodeCertificate> presented;
  for (const Row row : rows) {
    TvsNodeCertificate& one = presented.emplace_back();
    RETURN_IF_ERROR(row.Scan(one.node, one.sha256, one.said_at));
  }
  return presented;
}

absl::StatusOr<std::vector<std::string>> PresentingTvsNodes(Connection& connection, int32_t cluster_id,
                                                            const Sha256Digest& sha256) {
  ASSIGN_OR_RETURN(const std::vector<TvsNodeCertificate> presented, TvsNodeCertificates(connection, cluster_id));
  std::vector<std::string> nodes;
  for (const TvsNodeCertificate& one : presented) {
    if (one.sha256 == sha256) nodes.push_back(one.node);
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
