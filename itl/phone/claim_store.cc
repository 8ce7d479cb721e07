#include "itl/phone/claim_store.h"

#include <algorithm>
#include <map>
#include <set>

#include "common/bytes/bytes.h"
#include "common/net/ip_address.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr std::string_view kNotInstalled = "Not Installed";
constexpr std::string_view kNoSuchDevice = "no such device was in service: add it (trustctl device add)";

constexpr Statement kCountOfSources = {
    "claims_of_sources",
    "SELECT source, count(*) FROM phone_claim WHERE cluster_id = $1 AND source = ANY($2) GROUP BY source"};
constexpr Statement kKnown = {"claims_known",
                              "SELECT c.device, c.source FROM phone_claim c JOIN unnest($2::text[], $3::text[]) AS "
                              "n(device, source) ON c.device = "
                              "n.device COLLATE \"C\" AND c.source = n.source WHERE c.cluster_id = $1"};
#define NEWER(column) "CASE WHEN excluded.last_at >= c.last_at THEN excluded." column " ELSE c." column " END"
constexpr Statement kAdd = {
    "claims_add",
    "INSERT INTO phone_claim AS c (cluster_id, device, source, itl, server, user_agent, address, reason, first_at, "
    "last_at, reports) SELECT $1, n.device, n.source, n.itl, n.server, n.user_agent, n.address, n.reason, "
    "'epoch'::timestamptz + n.at * interval '1 microsecond', 'epoch'::timestamptz + n.at * interval '1 microsecond', "
    "n.reports FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], "
    "$9::bigint[], $10::bigint[]) AS n(device, source, itl, server, user_agent, address, reason, at, reports) ON "
    "CONFLICT (cluster_id, device, source) DO UPDATE SET itl = " NEWER("itl") ", server = " NEWER("server")
    ", user_agent = " NEWER("user_agent") ", address = " NEWER("address") ", reason = " NEWER("reason")
    ", last_at = greatest(c.last_at, excluded.last_at), reports = c.reports + excluded.reports"};
#undef NEWER
constexpr Statement kTrim = {"claims_trim",
                             "DELETE FROM phone_claim WHERE cluster_id = $1 AND (device, source) IN (SELECT device, "
                             "source FROM phone_claim WHERE "
                             "cluster_id = $1 ORDER BY last_at DESC OFFSET $2)"};
constexpr Statement kForget = {"claims_forget", "DELETE FROM phone_claim WHERE cluster_id = $1 AND last_at < $2"};
constexpr Statement kCount = {"claims_count", "SELECT count(*) FROM phone_claim WHERE cluster_id = $1"};
#define CLAIM_COLUMNS "device, source, itl, server, user_agent, address, reason, first_at, last_at, reports"
constexpr Statement kList = {"claims_list", "SELECT " CLAIM_COLUMNS
                                            " FROM phone_claim WHERE cluster_id = $1 AND (device, source) > ($2, $3) "
                                            "ORDER BY device, source LIMIT $4"};
constexpr Statement kOfDevice = {"claims_of_device", "SELECT " CLAIM_COLUMNS
                                                     " FROM phone_claim WHERE cluster_id = $1 AND device = $2 ORDER BY "
                                                     "last_at DESC LIMIT 100"};
#undef CLAIM_COLUMNS

// A host has all addresses of its /64 to itself.
std::string SourceOf(const std::string& address) {
  const absl::StatusOr<IpAddress> parsed = IpAddress::Parse(address);
  if (!parsed.ok()) return address;
  return parsed->is_v4() ? parsed->ToText() : parsed->HostPrefix().ToText() + "/64";
}

std::string SignatureText(const ListSignature& signature) {
  switch (signature.state) {
    case ListSignature::State::kHash:
      return ToHex(signature.sha1);
    case ListSignature::State::kNotInstalled:
      return std::string(kNotInstalled);
    case ListSignature::State::kUnreadable:
      break;
  }
  return "";
}

absl::StatusOr<std::vector<Claim>> ReadClaims(const Result& rows) {
  std::vector<Claim> claims;
  for (const Row row : rows) {
    Claim claim;
    std::string itl;
    RETURN_IF_ERROR(row.Scan(claim.device, claim.source, itl, claim.server, claim.user_agent, claim.address,
                             claim.reason, claim.first_at, claim.last_at, claim.reports));
    claim.itl = ReadListSignature(itl);
    claim.of_forwarder = claim.reason == kNoSuchDevice;
    claims.push_back(std::move(claim));
  }
  return claims;
}

}  // namespace

absl::StatusOr<int64_t> ClaimStore::Add(const std::vector<PhoneReport>& reports) {
  // 1. The newest of each device and source.
  using Key = std::pair<std::string, std::string>;
  std::map<Key, Claim> newest;
  std::set<std::string> sources, trusted;
  for (const PhoneReport& report : reports) {
    // A forwarder's word is kept apart from that of whoever forges its address.
    const std::string source = report.basis == EvidenceBasis::kNone ? SourceOf(report.source) : report.Via();
    const auto [entry, is_new] = newest.try_emplace({report.device, source});
    Claim& claim = entry->second;
    claim.reports = is_new ? 1 : claim.reports + 1;
    if (!is_new && claim.last_at > report.at) continue;
    claim.last_at = report.at;
    claim.itl = report.itl;
    claim.server = report.itl_server;
    claim.user_agent = report.user_agent;
    claim.address = report.address;
    claim.reason = report.basis == EvidenceBasis::kNone
                       ? std::string("it came neither through a named forwarder nor with a certificate of the device")
                       : std::string(kNoSuchDevice);
    sources.insert(source);
    if (report.basis != EvidenceBasis::kNone) trusted.insert(source);
  }

  // 2. Of those that are new, as many as their source may have.
  std::vector<std::string> devices, origins;
  for (const auto& [key, claim] : newest) {
    devices.push_back(key.first);
    origins.push_back(key.second);
  }
  const std::vector<std::string> wanted(sources.begin(), sources.end());
  std::map<std::string, int64_t> counts;
  ASSIGN_OR_RETURN(const Result counted,
                   connection_.Execute(kCountOfSources, Parameters().Int64(cluster_id_).TextArray(wanted)));
  for (const Row row : counted) {
    std::string source;
    int64_t count = 0;
    RETURN_IF_ERROR(row.Scan(source, count));
    counts[source] = count;
  }
  ASSIGN_OR_RETURN(const Result known,
                   connection_.Execute(kKnown, Parameters().Int64(cluster_id_).TextArray(devices).TextArray(origins)));
  std::set<Key> present;
  for (const Row row : known) {
    Key key;
    RETURN_IF_ERROR(row.Scan(key.first, key.second));
    present.insert(std::move(key));
  }
  int64_t dropped = 0;
  std::erase_if(newest, [&](const auto& entry) {
    const std::string& source = entry.first.second;
    const int64_t most = trusted.contains(source) ? kMostClaimsOfForwarder : kMostClaimsOfSource;
    if (present.contains(entry.first) || counts[source]++ < most) return false;
    dropped += entry.second.reports;
    return true;
  });

  // 3. In the order of the key, so that no two transactions wait for each other.
  std::vector<std::string> itls, servers, user_agents, addresses, reasons;
  std::vector<int64_t> times, numbers;
  devices.clear();
  origins.clear();
  for (const auto& [key, claim] : newest) {
    devices.push_back(key.first);
    origins.push_back(key.second);
    itls.push_back(SignatureText(claim.itl));
    servers.push_back(claim.server);
    user_agents.push_back(claim.user_agent);
    addresses.push_back(claim.address);
    reasons.push_back(claim.reason);
    times.push_back(absl::ToUnixMicros(claim.last_at));
    numbers.push_back(claim.reports);
  }
  if (devices.empty()) return dropped;
  RETURN_IF_ERROR(connection_
                      .Execute(kAdd, Parameters()
                                         .Int64(cluster_id_)
                                         .TextArray(devices)
                                         .TextArray(origins)
                                         .TextArray(itls)
                                         .TextArray(servers)
                                         .TextArray(user_agents)
                                         .TextArray(addresses)
                                         .TextArray(reasons)
                                         .Int64Array(times)
                                         .Int64Array(numbers))
                      .status());
  RETURN_IF_ERROR(connection_.Execute(kTrim, Parameters().Int64(cluster_id_).Int64(kMostClaims)).status());
  return dropped;
}

absl::StatusOr<std::vector<Claim>> ClaimStore::List(const std::pair<std::string, std::string>& after, int64_t limit) {
  ASSIGN_OR_RETURN(
      const Result rows,
      connection_.Execute(kList, Parameters().Int64(cluster_id_).Text(after.first).Text(after.second).Int64(limit)));
  return ReadClaims(rows);
}

absl::StatusOr<std::vector<Claim>> ClaimStore::OfDevice(const std::string& device) {
  ASSIGN_OR_RETURN(const Result rows, connection_.Execute(kOfDevice, Parameters().Int64(cluster_id_).Text(device)));
  return ReadClaims(rows);
}

absl::StatusOr<int64_t> ClaimStore::Count() {
  ASSIGN_OR_RETURN(const Result rows, connection_.Execute(kCount, Parameters().Int64(cluster_id_)));
  return rows.Value<int64_t>();
}

absl::Status ClaimStore::Forget(absl::Time now) {
  return connection_.Execute(kForget, Parameters().Int64(cluster_id_).Time(now - kLifeOfClaims)).status();
}

absl::StatusOr<std::vector<HoldingView>> JudgeClaims(Connection& connection, const HoldingViews& views,
                                                     const std::vector<Claim>& claims) {
  std::vector<HoldingViews::Claimed> claimed;
  for (const Claim& claim : claims) claimed.push_back({claim.itl, claim.server});
  return views.JudgeClaims(connection, claimed);
}

}  // namespace trustline
