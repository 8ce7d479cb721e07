#include "itl/phone/holding_view.h"

#include <utility>

#include "common/bytes/bytes.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr Statement kHoldings = {
    "holdings",
    "SELECT h.holding_id::bigint, h.kind, h.state, coalesce(s.name, ''), h.own_list, h.list_id::bigint, h.generation, "
    "coalesce(l.tftp_server, ''), coalesce(l.device, ''), g.published_at, h.adopted_id::bigint, coalesce(a.origin, "
    "''), "
    "coalesce(a.tftp_server, ''), coalesce(a.own, false), coalesce(a.is_current, false) FROM phone_holding h LEFT JOIN "
    "reported_server s USING (cluster_id, server_id) LEFT JOIN trust_list l USING (cluster_id, list_id) LEFT JOIN "
    "trust_list_generation g ON (g.cluster_id, g.list_id, g.generation) = (h.cluster_id, h.list_id, h.generation) LEFT "
    "JOIN adopted_list a ON (a.cluster_id, a.adopted_id) = (h.cluster_id, h.adopted_id) WHERE h.cluster_id = $1"};
constexpr Statement kServers = {
    "holding_servers",
    "SELECT name, name FROM tftp_server WHERE cluster_id = $1 UNION ALL SELECT lower(host), name FROM tftp_server "
    "WHERE "
    "cluster_id = $1 UNION ALL SELECT name, tftp_server FROM tftp_server_name WHERE cluster_id = $1"};
constexpr Statement kCurrent = {"holding_current_lists",
                                "SELECT list_id::bigint, kind, tftp_server, device, generation FROM trust_list WHERE "
                                "cluster_id = $1 AND removed_at "
                                "IS NULL AND generation > 0"};
constexpr Statement kPublished = {
    "holding_publications",
    "SELECT published_at, list_id::bigint, generation FROM trust_list_generation WHERE cluster_id = $1 ORDER BY "
    "published_at, list_id, generation"};
constexpr Statement kByHash = {
    "holding_lists_by_hash",
    "SELECT g.sha1, l.list_id::bigint, l.tftp_server, l.device, g.generation, g.published_at FROM "
    "trust_list_generation g "
    "JOIN trust_list l USING (cluster_id, list_id) WHERE g.cluster_id = $1 AND g.sha1 = ANY($2) AND l.kind = 'ITL'"};
constexpr Statement kAdoptedServers = {
    "holding_adopted_servers", "SELECT DISTINCT tftp_server, origin FROM adopted_list WHERE cluster_id = $1 AND own"};

absl::StatusOr<Holding> ReadHolding(const Row& row) {
  Holding holding;
  std::string kind, state;
  RETURN_IF_ERROR(row.Scan(holding.holding_id, kind, state, holding.reported_server, holding.own_list, holding.list_id,
                           holding.generation, holding.list_server, holding.list_device, holding.published_at,
                           holding.adopted_id, holding.adopted_origin, holding.adopted_server, holding.adopted_own,
                           holding.adopted_current));
  holding.kind = kind == "CTL" ? ListKind::kCtl : ListKind::kItl;
  holding.state = state == "hash"            ? ListSignature::State::kHash
                  : state == "not installed" ? ListSignature::State::kNotInstalled
                                             : ListSignature::State::kUnreadable;
  return holding;
}

// Of a phone that belongs to one of our servers, whatever it holds.
void JudgeByServer(const Holding& holding, const ServedLists& served, HoldingView& view) {
  view.status = PhoneStatus::kMismatch;
  if (holding.kind == ListKind::kCtl) {
    if (!served.ctl) return;
    view.expected_generation = served.ctl->generation;
    if (holding.list_id == served.ctl->list_id && holding.generation == served.ctl->generation) {
      view.status = PhoneStatus::kMatch;
    }
    return;
  }
  const auto current = served.generations.find(holding.list_id);
  const bool is_current = current != served.generations.end() && current->second == holding.generation;
  if (holding.own_list) {
    // Only the device's own list is right, whose generation is known here only when the phone holds one.
    if (!holding.list_device.empty() && holding.list_server == view.server) {
      view.expected_generation = current == served.generations.end() ? 0 : current->second;
      if (is_current) view.status = PhoneStatus::kMatch;
    }
    return;
  }
  const auto expected = served.itls.find(view.server);
  if (expected == served.itls.end()) return;
  view.expected_generation = expected->second.generation;
  if (holding.list_id == expected->second.list_id && is_current) view.status = PhoneStatus::kMatch;
}

}  // namespace

HoldingView JudgeHolding(const Holding& holding, const ServedLists& served) {
  HoldingView view{.holding = holding};
  const auto named = served.servers.find(holding.reported_server);
  if (named != served.servers.end()) view.server = named->second;
  if (holding.state != ListSignature::State::kHash) {
    view.status =
        holding.state == ListSignature::State::kNotInstalled ? PhoneStatus::kNotInstalled : PhoneStatus::kUnknown;
    if (const auto expected = served.itls.find(view.server);
        holding.kind == ListKind::kItl && expected != served.itls.end()) {
      view.expected_generation = expected->second.generation;
    }
    return view;
  }
  if (named != served.servers.end()) {
    JudgeByServer(holding, served, view);
  } else if (holding.list_id != 0) {
    view.server = holding.list_server;
    JudgeByServer(holding, served, view);
  } else if (holding.adopted_own || served.adopted_servers.contains(holding.reported_server)) {
    // What this cluster's phones had before it had lists of its own.
    view.status = holding.adopted_own && holding.adopted_current ? PhoneStatus::kMatch : PhoneStatus::kMismatch;
  } else if (holding.reported_server.empty() && holding.adopted_id == 0) {
    view.status = PhoneStatus::kUnknown;
  } else {
    view.status = PhoneStatus::kForeign;
  }
  return view;
}

absl::StatusOr<HoldingViews> HoldingViews::Read(Connection& connection, int32_t cluster_id) {
  HoldingViews views;
  views.cluster_id_ = cluster_id;
  const auto parameters = [&] { return Parameters().Int64(cluster_id); };
  ASSIGN_OR_RETURN(const Result servers, connection.Execute(kServers, parameters()));
  for (const Row row : servers) {
    std::string name, server;
    RETURN_IF_ERROR(row.Scan(name, server));
    views.served_.servers.try_emplace(std::move(name), std::move(server));
  }
  ASSIGN_OR_RETURN(const Result lists, connection.Execute(kCurrent, parameters()));
  for (const Row row : lists) {
    PublishedState state;
    std::string kind, server, device;
    RETURN_IF_ERROR(row.Scan(state.list_id, kind, server, device, state.generation));
    views.served_.generations[state.list_id] = state.generation;
    if (kind == "CTL") {
      views.served_.ctl = state;
    } else if (device.empty()) {
      views.served_.itls[server] = state;
    }
  }
  ASSIGN_OR_RETURN(const Result adopted, connection.Execute(kAdoptedServers, parameters()));
  for (const Row row : adopted) {
    std::string server, origin;
    RETURN_IF_ERROR(row.Scan(server, origin));
    views.served_.adopted_servers.try_emplace(std::move(server), std::move(origin));
  }
  ASSIGN_OR_RETURN(const Result holdings, connection.Execute(kHoldings, parameters()));
  for (const Row row : holdings) {
    ASSIGN_OR_RETURN(const Holding holding, ReadHolding(row));
    views.views_.emplace(holding.holding_id, JudgeHolding(holding, views.served_));
  }
  return views;
}

const HoldingView& HoldingViews::Get(int64_t holding_id) const {
  const auto found = views_.find(holding_id);
  return found == views_.end() ? none_ : found->second;
}

absl::StatusOr<std::vector<HoldingViews::Publication>> HoldingViews::ReadPublished(Connection& connection) const {
  ASSIGN_OR_RETURN(const Result rows, connection.Execute(kPublished, Parameters().Int64(cluster_id_)));
  std::vector<Publication> published;
  for (const Row row : rows) {
    Publication one;
    RETURN_IF_ERROR(row.Scan(one.at, one.list_id, one.generation));
    published.push_back(one);
  }
  return published;
}

HoldingViews::Past HoldingViews::At(absl::Time moment, const std::vector<Publication>& published) const {
  std::map<int64_t, int64_t> generations;
  for (const Publication& one : published) {
    if (one.at > moment) break;
    generations[one.list_id] = one.generation;
  }
  ServedLists served = served_;
  const auto as_then = [&](PublishedState& state) {
    const auto then = generations.find(state.list_id);
    state.generation = then == generations.end() ? 0 : then->second;
  };
  for (auto& [server, state] : served.itls) as_then(state);
  if (served.ctl) as_then(*served.ctl);
  served.generations = std::move(generations);
  return Past(*this, std::move(served));
}

const HoldingView& HoldingViews::Past::Get(int64_t holding_id) {
  const auto [judged, is_new] = judged_.try_emplace(holding_id);
  const auto known = views_.views_.find(holding_id);
  if (is_new && known != views_.views_.end()) judged->second = JudgeHolding(known->second.holding, served_);
  return judged->second;
}

absl::StatusOr<std::vector<HoldingView>> HoldingViews::JudgeClaims(Connection& connection,
                                                                   const std::vector<Claimed>& claims) const {
  std::vector<std::string> hashes;
  for (const Claimed& claim : claims) {
    if (claim.signature.state == ListSignature::State::kHash) hashes.emplace_back(AsText(claim.signature.sha1));
  }
  std::map<Sha1Digest, Holding> known;
  if (!hashes.empty()) {
    ASSIGN_OR_RETURN(const Result rows,
                     connection.Execute(kByHash, Parameters().Int64(cluster_id_).BytesArray(hashes)));
    for (const Row row : rows) {
      Sha1Digest sha1;
      Holding holding;
      RETURN_IF_ERROR(row.Scan(sha1, holding.list_id, holding.list_server, holding.list_device, holding.generation,
                               holding.published_at));
      holding.own_list = !holding.list_device.empty();
      known.emplace(sha1, std::move(holding));
    }
  }
  std::vector<HoldingView> judged;
  for (const Claimed& claim : claims) {
    const auto found = known.find(claim.signature.sha1);
    const bool has_hash = claim.signature.state == ListSignature::State::kHash;
    Holding holding = has_hash && found != known.end() ? found->second : Holding();
    holding.state = claim.signature.state;
    holding.reported_server = claim.server;
    judged.push_back(JudgeHolding(holding, served_));
  }
  return judged;
}

}  // namespace trustline
