#include "itl/phone/forwarder_editor.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "common/bytes/bytes.h"
#include "common/bytes/checksums.h"
#include "common/net/ip_address.h"
#include "common/rpc/proto_time.h"
#include "common/service/audit.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr size_t kLongestName = 200;
constexpr int kMostNames = 1'000;  // of one request
const std::vector<std::string> kRequests = {"REFER", "REGISTER", "OPTIONS"};

constexpr Statement kList = {
    "forwarders",
    "SELECT name, is_network, requests, udp, added_by, added_at FROM forwarder WHERE cluster_id "
    "= $1 ORDER BY name COLLATE \"C\""};
constexpr Statement kPut = {
    "forwarder_put",
    "INSERT INTO forwarder AS f (cluster_id, name, is_network, requests, udp, added_by) VALUES ($1, $2, $3, $4, $5, "
    "$6) "
    "ON CONFLICT (cluster_id, name) DO UPDATE SET requests = excluded.requests, udp = excluded.udp RETURNING added_by, "
    "added_at, xmax = 0"};
constexpr Statement kRemove = {"forwarder_remove", "DELETE FROM forwarder WHERE cluster_id = $1 AND name = $2"};
constexpr Statement kAcceptsClaims = {"accepts_claims",
                                      "SELECT accept_claims FROM phone_trust_policy WHERE cluster_id = $1"};
constexpr Statement kSetAcceptsClaims = {
    "set_accepts_claims",
    "INSERT INTO phone_trust_policy (cluster_id, accept_claims, changed_by) VALUES ($1, $2, $3) ON CONFLICT "
    "(cluster_id) DO UPDATE SET accept_claims = excluded.accept_claims, changed_by = excluded.changed_by, changed_at = "
    "now()"};
// provisiond looks at once.
constexpr Statement kNotify = {"forwarder_notify", "NOTIFY forwarder_change"};

constexpr Statement kServers = {
    "server_names_servers",
    "SELECT s.name, s.host, h.sha1, h.changed_at, h.compared_at FROM tftp_server s LEFT JOIN tftp_server_hash h ON "
    "(h.cluster_id, h.tftp_server, h.kind) = (s.cluster_id, s.name, 'ITL') WHERE s.cluster_id = $1 AND s.removed_at IS "
    "NULL ORDER BY s.name COLLATE \"C\""};
constexpr Statement kNames = {"server_names",
                              "SELECT tftp_server, name FROM tftp_server_name WHERE cluster_id = $1 ORDER BY name "
                              "COLLATE \"C\""};
constexpr Statement kForeign = {
    "server_names_foreign",
    "SELECT DISTINCT r.name FROM reported_server r JOIN phone_holding h USING (cluster_id, server_id) JOIN phone_count "
    "c "
    "ON (c.cluster_id, c.dimension, c.value, c.holding_id) = (h.cluster_id, '', '', h.holding_id) WHERE r.cluster_id = "
    "$1 AND NOT EXISTS (SELECT FROM tftp_server s WHERE s.cluster_id = $1 AND r.name IN (s.name, lower(s.host))) AND "
    "NOT "
    "EXISTS (SELECT FROM tftp_server_name n WHERE n.cluster_id = $1 AND n.name = r.name) ORDER BY r.name LIMIT 100"};
constexpr Statement kOwner = {"server_name_owner",
                              "SELECT name FROM tftp_server WHERE cluster_id = $1 AND (name = $2 OR lower(host) = $2) "
                              "UNION SELECT tftp_server FROM "
                              "tftp_server_name WHERE cluster_id = $1 AND name = $2"};
constexpr Statement kAddName = {
    "server_name_add",
    "INSERT INTO tftp_server_name (cluster_id, name, tftp_server, added_by) VALUES ($1, $2, $3, $4)"};
constexpr Statement kRemoveName = {
    "server_name_remove", "DELETE FROM tftp_server_name WHERE cluster_id = $1 AND name = $2 AND tftp_server = $3"};

bool IsCommonName(std::string_view name) {
  return !name.empty() && name.size() <= kLongestName &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) { return c >= ' ' && c != 0x7F && c != '/'; });
}

absl::StatusOr<std::vector<std::string>> CheckedRequests(const v1::PutForwarderRequest& request) {
  std::vector<std::string> requests;
  for (const std::string& known : kRequests) {
    const bool is_asked = std::any_of(request.requests().begin(), request.requests().end(),
                                      [&](const std::string& one) { return absl::AsciiStrToUpper(one) == known; });
    if (is_asked || request.requests().empty()) requests.push_back(known);
  }
  for (const std::string& one : request.requests()) {
    if (std::find(kRequests.begin(), kRequests.end(), absl::AsciiStrToUpper(one)) == kRequests.end()) {
      return InvalidArgument("{} is no request that a forwarder may send: there are {}", one,
                             absl::StrJoin(kRequests, ", "));
    }
  }
  return requests;
}

}  // namespace

absl::Status ForwarderEditor::Audit(const char* action, const std::string& subject,
                                    std::vector<std::pair<std::string, std::string>> detail) {
  return AppendAudit(
      connection_,
      {.cluster_id = cluster_id_, .actor = actor_, .action = action, .subject = subject, .detail = std::move(detail)});
}

absl::StatusOr<std::vector<v1::Forwarder>> ForwarderEditor::List() {
  ASSIGN_OR_RETURN(const Result rows, connection_.Execute(kList, Parameters().Int64(cluster_id_)));
  std::vector<v1::Forwarder> forwarders;
  for (const Row row : rows) {
    std::string name, added_by;
    bool is_network = false, udp = false;
    std::vector<std::string> requests;
    absl::Time added_at;
    RETURN_IF_ERROR(row.Scan(name, is_network, requests, udp, added_by, added_at));
    v1::Forwarder forwarder;
    forwarder.set_name(name);
    forwarder.set_is_network(is_network);
    for (std::string& request : requests) forwarder.add_requests(std::move(request));
    forwarder.set_udp(udp);
    forwarder.set_added_by(added_by);
    *forwarder.mutable_added_at() = ToProtoTime(added_at);
    forwarders.push_back(std::move(forwarder));
  }
  return forwarders;
}

absl::StatusOr<v1::PutForwarderResponse> ForwarderEditor::Put(const v1::PutForwarderRequest& request) {
  std::string name = request.name();
  absl::StripAsciiWhitespace(&name);
  const absl::StatusOr<IpNetwork> network = IpNetwork::Parse(name);
  const bool looks_like_address = name.find_first_not_of("0123456789./:") == std::string::npos;
  if (!network.ok() && (looks_like_address || !IsCommonName(name))) {
    return InvalidArgument(
        "a forwarder is an address (192.0.2.1), a network (192.0.2.0/24, whose bits after the prefix are zero), or the "
        "common name of its TLS certificate");
  }
  if (!network.ok() && request.udp()) {
    return InvalidArgument("{} is the name of a certificate, which nobody shows over UDP: leave out --udp", name);
  }
  if (absl::EndsWith(name, "/0")) {
    return InvalidArgument("{} is everybody: name the networks of the forwarders", name);
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> requests, CheckedRequests(request));
  ASSIGN_OR_RETURN(const Result rows, connection_.Execute(kPut, Parameters()
                                                                    .Int64(cluster_id_)
                                                                    .Text(name)
                                                                    .Bool(network.ok())
                                                                    .TextArray(requests)
                                                                    .Bool(request.udp())
                                                                    .Text(actor_)));
  if (rows.empty()) return Internal("the forwarder was not stored");
  std::string added_by;
  absl::Time added_at;
  bool added = false;
  RETURN_IF_ERROR(rows[0].Scan(added_by, added_at, added));
  RETURN_IF_ERROR(connection_.Execute(kNotify).status());
  RETURN_IF_ERROR(Audit(added ? "forwarder.add" : "forwarder.change", name,
                        {{"requests", absl::StrJoin(requests, ",")}, {"udp", request.udp() ? "yes" : "no"}}));
  v1::PutForwarderResponse response;
  v1::Forwarder& forwarder = *response.mutable_forwarder();
  forwarder.set_name(name);
  forwarder.set_is_network(network.ok());
  for (const std::string& one : requests) forwarder.add_requests(one);
  forwarder.set_udp(request.udp());
  forwarder.set_added_by(added_by);
  *forwarder.mutable_added_at() = ToProtoTime(added_at);
  response.set_added(added);
  return response;
}

absl::Status ForwarderEditor::Remove(const std::string& name) {
  ASSIGN_OR_RETURN(const Result rows, connection_.Execute(kRemove, Parameters().Int64(cluster_id_).Text(name)));
  if (rows.affected() == 0) return NotFound("no forwarder {} is there: `trustctl forwarder list` shows them", name);
  RETURN_IF_ERROR(connection_.Execute(kNotify).status());
  return Audit("forwarder.remove", name, {});
}

absl::StatusOr<bool> ForwarderEditor::AcceptsClaims() {
  ASSIGN_OR_RETURN(const Result rows, connection_.Execute(kAcceptsClaims, Parameters().Int64(cluster_id_)));
  return rows.empty() ? absl::StatusOr<bool>(true) : rows.Value<bool>();
}

absl::StatusOr<bool> ForwarderEditor::SetAcceptsClaims(bool accepts) {
  ASSIGN_OR_RETURN(const bool before, AcceptsClaims());
  if (before == accepts) return false;
  RETURN_IF_ERROR(
      connection_.Execute(kSetAcceptsClaims, Parameters().Int64(cluster_id_).Bool(accepts).Text(actor_)).status());
  RETURN_IF_ERROR(connection_.Execute(kNotify).status());
  RETURN_IF_ERROR(Audit("phone.claims", accepts ? "accepted" : "forbidden", {}));
  return true;
}

absl::StatusOr<v1::ListServerNamesResponse> ForwarderEditor::ServerNames() {
  std::map<std::string, std::vector<std::string>> names;
  ASSIGN_OR_RETURN(const Result named, connection_.Execute(kNames, Parameters().Int64(cluster_id_)));
  for (const Row row : named) {
    std::string server, name;
    RETURN_IF_ERROR(row.Scan(server, name));
    names[server].push_back(std::move(name));
  }
  v1::ListServerNamesResponse response;
  ASSIGN_OR_RETURN(const Result servers, connection_.Execute(kServers, Parameters().Int64(cluster_id_)));
  for (const Row row : servers) {
    std::string name, host;
    std::optional<Sha1Digest> sha1;
    std::optional<absl::Time> changed_at, compared_at;
    RETURN_IF_ERROR(row.Scan(name, host, sha1, changed_at, compared_at));
    v1::ListServerNamesResponse::Server& server = *response.add_servers();
    server.set_tftp_server(name);
    server.set_host(host);
    for (const std::string& other : names[name]) server.add_names(other);
    if (sha1) server.set_itl_sha1(std::string(AsText(*sha1)));
    if (changed_at) *server.mutable_changed_at() = ToProtoTime(*changed_at);
    if (compared_at) *server.mutable_compared_at() = ToProtoTime(*compared_at);
  }
  ASSIGN_OR_RETURN(const Result foreign, connection_.Execute(kForeign, Parameters().Int64(cluster_id_)));
  for (const Row row : foreign) {
    ASSIGN_OR_RETURN(*response.add_foreign(), row.Get<std::string>(0));
  }
  return response;
}

absl::Status ForwarderEditor::AddName(const std::string& server, const std::string& name, bool& changed) {
  if (!IsHost(name) && !IpAddress::Parse(name).ok()) {
    return InvalidArgument("{} is neither a host name nor an address", name);
  }
  const std::string folded = absl::AsciiStrToLower(name);
  ASSIGN_OR_RETURN(const Result owners, connection_.Execute(kOwner, Parameters().Int64(cluster_id_).Text(folded)));
  for (const Row row : owners) {
    ASSIGN_OR_RETURN(const std::string owner, row.Get<std::string>(0));
    if (owner == server) return absl::OkStatus();
    return AlreadyExists("{} is a name of the TFTP server {}: take it away there first", folded, owner);
  }
  changed = true;
  return connection_.Execute(kAddName, Parameters().Int64(cluster_id_).Text(folded).Text(server).Text(actor_)).status();
}

absl::StatusOr<v1::ChangeServerNamesResponse> ForwarderEditor::ChangeServerNames(
    const v1::ChangeServerNamesRequest& request) {
  if (request.add_size() + request.remove_size() > kMostNames) {
    return InvalidArgument("at most {} names in one request", kMostNames);
  }
  ASSIGN_OR_RETURN(v1::ListServerNamesResponse known, ServerNames());
  const auto is_meant = [&](const auto& server) { return server.tftp_server() == request.tftp_server(); };
  if (std::none_of(known.servers().begin(), known.servers().end(), is_meant)) {
    return NotFound("no TFTP server {} is there: `trustctl itl server list` shows them", request.tftp_server());
  }
  bool changed = false;
  for (const std::string& name : request.remove()) {
    ASSIGN_OR_RETURN(
        const Result removed,
        connection_.Execute(
            kRemoveName,
            Parameters().Int64(cluster_id_).Text(absl::AsciiStrToLower(name)).Text(request.tftp_server())));
    changed = changed || removed.affected() > 0;
  }
  for (const std::string& name : request.add()) RETURN_IF_ERROR(AddName(request.tftp_server(), name, changed));
  if (changed) {
    RETURN_IF_ERROR(
        Audit("tftp_server.names", request.tftp_server(),
              {{"added", absl::StrJoin(request.add(), ",")}, {"removed", absl::StrJoin(request.remove(), ",")}}));
  }
  ASSIGN_OR_RETURN(known, ServerNames());
  v1::ChangeServerNamesResponse response;
  for (const auto& server : known.servers()) {
    if (is_meant(server)) *response.mutable_names() = server.names();
  }
  response.set_changed(changed);
  return response;
}

}  // namespace trustline
