#include "itl/phone/holding_store.h"

#include <algorithm>
#include <optional>
#include <tuple>

#include "common/bytes/bytes.h"
#include "common/postgres/transaction.h"
#include "common/status/status.h"

namespace trustline {
namespace {

// Of a cluster. Phones that name more, which only a broken forwarder makes them do, name one together.
constexpr int64_t kMostServers = 10'000;
constexpr char kMoreServers[] = "(more servers)";

constexpr Statement kFindServers = {"reported_servers_find",
                                    "SELECT name, server_id FROM reported_server WHERE cluster_id = $1 AND name = "
                                    "ANY($2)"};
constexpr Statement kCountServers = {"reported_servers_count",
                                     "SELECT count(*) FROM reported_server WHERE cluster_id = $1"};
constexpr Statement kAddServers = {"reported_servers_add",
                                   "INSERT INTO reported_server (cluster_id, name) SELECT $1, name FROM "
                                   "unnest($2::text[]) AS name ORDER BY name ON CONFLICT DO NOTHING"};
constexpr Statement kOrigins = {
    "holding_origins",
    // What is signed twice within a second is the same file in two generations: the newest counts.
    "(SELECT l.kind, g.sha1, g.list_id::bigint, g.generation, 0::bigint, CASE WHEN l.removed_at IS NULL THEN l.device "
    "ELSE '' END FROM trust_list_generation g JOIN trust_list l USING (cluster_id, list_id) WHERE g.cluster_id = $1 "
    "AND g.sha1 = ANY($2) ORDER BY g.generation DESC) "
    // The cluster's own history before a foreign cluster's, the newest first.
    "UNION ALL (SELECT kind, sha1, 0, 0, adopted_id::bigint, '' FROM adopted_list WHERE cluster_id = $1 AND sha1 = "
    "ANY($2) ORDER BY own DESC, adopted_id DESC)"};
constexpr Statement kOwnLists = {
    "holding_own_lists",
    "SELECT l.device, n.name FROM trust_list l JOIN (SELECT cluster_id, name AS server, name FROM tftp_server UNION "
    "SELECT cluster_id, name, lower(host) FROM tftp_server UNION SELECT cluster_id, tftp_server, name FROM "
    "tftp_server_name) n ON n.cluster_id = l.cluster_id AND n.server = l.tftp_server WHERE l.cluster_id = $1 AND "
    "l.kind = 'ITL' AND l.device = ANY($2) AND l.removed_at IS NULL"};
#define HOLDING_KEYS                                                                                         \
  "unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[]) AS " \
  "k(kind, state, server_id, list_id, generation, adopted_id, own_list)"
constexpr Statement kFindHoldings = {
    "holdings_find",
    "SELECT h.kind, h.state, h.server_id::bigint, h.list_id::bigint, h.generation, h.adopted_id::bigint, h.own_list, "
    "h.holding_id::bigint FROM phone_holding h JOIN " HOLDING_KEYS
    " ON (h.kind, h.state, h.server_id, h.list_id, h.generation, h.adopted_id, h.own_list) = (k.kind, k.state, "
    "k.server_id, k.list_id, k.generation, k.adopted_id, k.own_list = 1) WHERE h.cluster_id = $1"};
constexpr Statement kAddHoldings = {
    "holdings_add",
    "INSERT INTO phone_holding (cluster_id, kind, state, server_id, list_id, generation, adopted_id, own_list) SELECT "
    "$1, kind, state, server_id, list_id, generation, adopted_id, own_list = 1 FROM " HOLDING_KEYS
    " ORDER BY 2, 3, 4, 5, 6, 7, 8 ON CONFLICT DO NOTHING"};
#undef HOLDING_KEYS

const char* StateText(ListSignature::State state) {
  switch (state) {
    case ListSignature::State::kHash:
      return "hash";
    case ListSignature::State::kNotInstalled:
      return "not installed";
    case ListSignature::State::kUnreadable:
      break;
  }
  return "unreadable";
}

ListSignature::State StateFromText(std::string_view text) {
  for (const auto state : {ListSignature::State::kHash, ListSignature::State::kNotInstalled}) {
    if (text == StateText(state)) return state;
  }
  return ListSignature::State::kUnreadable;
}

ListKind KindFromText(std::string_view text) { return text == "CTL" ? ListKind::kCtl : ListKind::kItl; }

}  // namespace

absl::StatusOr<std::map<std::string, int64_t>> HoldingStore::ServerIds(Connection& connection, int32_t cluster_id,
                                                                       const std::set<std::string>& names) {
  std::map<std::string, int64_t> ids;
  std::vector<std::string> unknown;
  {
    const std::lock_guard lock(mutex_);
    for (const std::string& name : names) {
      const auto known = servers_.find({cluster_id, name});
      if (name.empty()) {
        ids[name] = 0;
      } else if (known != servers_.end()) {
        ids[name] = known->second;
      } else {
        unknown.push_back(name);
      }
    }
  }
  if (unknown.empty()) return ids;

  const auto find = [&](const std::vector<std::string>& wanted) -> absl::Status {
    ASSIGN_OR_RETURN(const Result rows,
                     connection.Execute(kFindServers, Parameters().Int64(cluster_id).TextArray(wanted)));
    const std::lock_guard lock(mutex_);
    for (const Row row : rows) {
      std::string name;
      int32_t id = 0;
      RETURN_IF_ERROR(row.Scan(name, id));
      ids[name] = id;
      servers_[{cluster_id, name}] = id;
    }
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(find(unknown));
  std::vector<std::string> missing;
  for (const std::string& name : unknown) {
    if (!ids.contains(name)) missing.push_back(name);
  }
  if (missing.empty()) return ids;

  ASSIGN_OR_RETURN(const Result counted, connection.Execute(kCountServers, Parameters().Int64(cluster_id)));
  ASSIGN_OR_RETURN(const int64_t count, counted.Value<int64_t>());
  std::vector<std::string> added = missing;
  if (count + static_cast<int64_t>(missing.size()) > kMostServers) added = {kMoreServers};
  RETURN_IF_ERROR(connection.Execute(kAddServers, Parameters().Int64(cluster_id).TextArray(added)).status());
  RETURN_IF_ERROR(find(added));
  for (const std::string& name : missing) {
    if (!ids.contains(name)) ids[name] = ids[kMoreServers];
  }
  return ids;
}

absl::StatusOr<HoldingStore::Hashes> HoldingStore::Origins(Connection& connection, int32_t cluster_id,
                                                           const std::vector<Said>& said) {
  std::set<std::string> distinct;
  for (const Said& one : said) {
    if (one.signature.state == ListSignature::State::kHash) distinct.emplace(AsText(one.signature.sha1));
  }
  Hashes hashes;
  if (distinct.empty()) return hashes;
  const std::vector<std::string> wanted(distinct.begin(), distinct.end());
  ASSIGN_OR_RETURN(const Result rows, connection.Execute(kOrigins, Parameters().Int64(cluster_id).BytesArray(wanted)));
  for (const Row row : rows) {
    std::string kind;
    Sha1Digest sha1;
    Origin origin;
    RETURN_IF_ERROR(row.Scan(kind, sha1, origin.list_id, origin.generation, origin.adopted_id, origin.device));
    hashes.try_emplace({KindFromText(kind), sha1}, std::move(origin));
  }
  return hashes;
}

absl::StatusOr<std::set<std::pair<std::string, std::string>>> HoldingStore::OwnLists(Connection& connection,
                                                                                     int32_t cluster_id,
                                                                                     const std::vector<Said>& said) {
  std::set<std::string> devices;
  for (const Said& one : said) {
    if (one.kind == ListKind::kItl) devices.insert(one.device);
  }
  const std::vector<std::string> wanted(devices.begin(), devices.end());
  ASSIGN_OR_RETURN(const Result rows, connection.Execute(kOwnLists, Parameters().Int64(cluster_id).TextArray(wanted)));
  std::set<std::pair<std::string, std::string>> own;
  for (const Row row : rows) {
    std::string device, server;
    RETURN_IF_ERROR(row.Scan(device, server));
    own.emplace(std::move(device), std::move(server));
  }
  return own;
}

absl::StatusOr<std::map<HoldingStore::Key, int64_t>> HoldingStore::HoldingIds(Connection& connection,
                                                                              int32_t cluster_id,
                                                                              const std::set<Key>& keys) {
  std::map<Key, int64_t> ids;
  std::vector<Key> unknown;
  {
    const std::lock_guard lock(mutex_);
    for (const Key& key : keys) {
      const auto known = holdings_.find({cluster_id, key});
      if (known != holdings_.end()) {
        ids[key] = known->second;
      } else {
        unknown.push_back(key);
      }
    }
  }
  if (unknown.empty()) return ids;

  std::vector<std::string> kinds, states;
  std::vector<int64_t> servers, lists, generations, adopted, own;
  for (const Key& key : unknown) {
    kinds.emplace_back(ListKindName(key.kind));
    states.emplace_back(StateText(key.state));
    servers.push_back(key.server_id);
    lists.push_back(key.list_id);
    generations.push_back(key.generation);
    adopted.push_back(key.adopted_id);
    own.push_back(key.own_list ? 1 : 0);
  }
  const auto parameters = [&] {
    return Parameters()
        .Int64(cluster_id)
        .TextArray(kinds)
        .TextArray(states)
        .Int64Array(servers)
        .Int64Array(lists)
        .Int64Array(generations)
        .Int64Array(adopted)
        .Int64Array(own);
  };
  RETURN_IF_ERROR(connection.Execute(kAddHoldings, parameters()).status());
  ASSIGN_OR_RETURN(const Result rows, connection.Execute(kFindHoldings, parameters()));
  const std::lock_guard lock(mutex_);
  for (const Row row : rows) {
    Key key{};
    std::string kind, state;
    int64_t id = 0;
    RETURN_IF_ERROR(
        row.Scan(kind, state, key.server_id, key.list_id, key.generation, key.adopted_id, key.own_list, id));
    key.kind = KindFromText(kind);
    key.state = StateFromText(state);
    ids[key] = id;
    holdings_[{cluster_id, key}] = id;
  }
  return ids;
}

absl::StatusOr<std::vector<int64_t>> HoldingStore::Find(int32_t cluster_id, const std::vector<Said>& said) {
  ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
  std::set<std::string> names;
  for (const Said& one : said) names.insert(one.server);
  ASSIGN_OR_RETURN(const auto servers, ServerIds(*lease, cluster_id, names));
  ASSIGN_OR_RETURN(const Hashes hashes, Origins(*lease, cluster_id, said));
  ASSIGN_OR_RETURN(const auto own_lists, OwnLists(*lease, cluster_id, said));

  std::vector<Key> keys;
  keys.reserve(said.size());
  for (const Said& one : said) {
    Key key{.kind = one.kind, .state = one.signature.state, .server_id = servers.at(one.server)};
    if (one.signature.state == ListSignature::State::kHash) {
      key.own_list = own_lists.contains({one.device, one.server});
      if (const auto found = hashes.find({one.kind, one.signature.sha1}); found != hashes.end()) {
        const Origin& origin = found->second;
        key.own_list = key.own_list || origin.device == one.device;
        key.adopted_id = origin.adopted_id;
        // Another device's own list is nothing that this one could have been offered.
        if (origin.device.empty() || origin.device == one.device) {
          key.list_id = origin.list_id;
          key.generation = origin.generation;
        }
      }
    }
    keys.push_back(key);
  }
  ASSIGN_OR_RETURN(const auto ids, HoldingIds(*lease, cluster_id, std::set<Key>(keys.begin(), keys.end())));
  std::vector<int64_t> found;
  found.reserve(keys.size());
  for (const Key& key : keys) {
    const auto id = ids.find(key);
    if (id == ids.end()) return Internal("a holding of a phone cannot be found again");
    found.push_back(id->second);
  }
  return found;
}

}  // namespace trustline
