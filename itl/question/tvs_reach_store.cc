#include "itl/question/tvs_reach_store.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "common/bytes/bytes.h"
#include "common/net/ip_address.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr absl::Duration kMemory = absl::Hours(24 * 60);

bool IsSameAddress(const std::string& one, const std::string& other) {
  const absl::StatusOr<IpAddress> first = IpAddress::Parse(one);
  const absl::StatusOr<IpAddress> second = IpAddress::Parse(other);
  return first.ok() && second.ok() && *first == *second;
}

}  // namespace

absl::Status TvsReachStore::SawAsking(std::string_view node, const std::vector<QuestionCounts>& counts) {
  // Phones in service whose site was not seen later than an hour before: so times only grow. OFFSET 0: by the primary
  // keys.
  static constexpr Statement kNews = {
      "tvs_reach_news",
      "SELECT n.number, p.site, p.address FROM (SELECT device, number, "
      "  'epoch'::timestamptz + last_us * interval '1 microsecond' AS last_at "
      "  FROM unnest($3::text[], $4::bigint[]) WITH ORDINALITY AS u (device, last_us, number)) n "
      "JOIN LATERAL (SELECT device, site, address FROM phone p WHERE p.cluster_id = $1 AND p.device = n.device "
      "  AND p.address <> '' OFFSET 0) p ON true "
      "LEFT JOIN LATERAL (SELECT true AS known FROM tvs_reach r WHERE r.cluster_id = $1 AND r.site = p.site "
      "  AND r.device = CASE WHEN p.site = '' THEN p.device ELSE '' END AND r.node = $2 "
      "  AND r.last_at > n.last_at - interval '1 hour' OFFSET 0) k ON true "
      "WHERE k.known IS NULL"};
  static constexpr Statement kSeen = {
      "tvs_reach_seen",
      "INSERT INTO tvs_reach (cluster_id, site, device, node, last_at) SELECT $1, u.site, u.device, $2, "
      "'epoch'::timestamptz + u.last_us * interval '1 microsecond' "
      "FROM unnest($3::text[], $4::text[], $5::bigint[]) AS u (site, device, last_us) "
      "ON CONFLICT (cluster_id, site, device, node) DO UPDATE SET last_at = excluded.last_at"};
  std::map<std::pair<std::string, std::string>, int64_t> asked;  // by device and address
  for (const QuestionCounts& count : counts) {
    if (count.device.empty() || count.address.empty() || count.last_at < now_ - kMemory) continue;
    int64_t& last_us = asked[{count.device, count.address}];
    last_us = std::max(last_us, absl::ToUnixMicros(std::min(count.last_at, now_)));
  }
  if (asked.empty()) return absl::OkStatus();
  std::vector<std::string> devices, addresses;
  std::vector<int64_t> times;
  for (const auto& [who, last_us] : asked) {
    devices.push_back(who.first);
    addresses.push_back(who.second);
    times.push_back(last_us);
  }
  ASSIGN_OR_RETURN(
      const Result news,
      connection_.Execute(kNews, Parameters().Int64(cluster_id_).Text(node).TextArray(devices).Int64Array(times)));
  std::map<std::pair<std::string, std::string>, int64_t> seen;  // by site and device
  for (const Row row : news) {
    int64_t number = 0;
    std::string site, address;
    RETURN_IF_ERROR(row.Scan(number, site, address));
    const auto place = static_cast<size_t>(number - 1);
    if (!IsSameAddress(address, addresses[place])) continue;
    std::string device = site.empty() ? devices[place] : std::string();
    int64_t& last_us = seen[{std::move(site), std::move(device)}];
    last_us = std::max(last_us, times[place]);
  }
  if (seen.empty()) return absl::OkStatus();
  std::vector<std::string> sites;
  devices.clear();
  times.clear();
  for (const auto& [where, last_us] : seen) {
    sites.push_back(where.first);
    devices.push_back(where.second);
    times.push_back(last_us);
  }
  return connection_
      .Execute(kSeen, Parameters().Int64(cluster_id_).Text(node).TextArray(sites).TextArray(devices).Int64Array(times))
      .status();
}

void TvsReachStore::Presents(std::string_view node, const std::vector<Sha256Digest>& certificates) {
  // The time tells who is away (itl/preflight/world_reader.h: kNodeSilence); not every word is written for it.
  static constexpr Statement kPresents = {
      "tvs_node_certificates",
      "WITH gone AS (DELETE FROM tvs_node_certificate WHERE cluster_id = $1 AND node = $2 AND sha256 <> ALL($3)) "
      "INSERT INTO tvs_node_certificate AS c (cluster_id, node, sha256, said_at) "
      "SELECT $1, $2, u.sha256, $4 FROM unnest($3::bytea[]) AS u (sha256) "
      "ON CONFLICT (cluster_id, node, sha256) DO UPDATE SET said_at = excluded.said_at "
      "WHERE c.said_at < excluded.said_at - interval '4 minutes'"};
  std::vector<std::string> texts;
  for (const Sha256Digest& certificate : certificates) texts.emplace_back(AsText(certificate));
  connection_.ExecuteWithNext(kPresents, Parameters().Int64(cluster_id_).Text(node).BytesArray(texts).Time(now_));
}

absl::StatusOr<std::vector<Sha256Digest>> TvsReachStore::PresentedBy(std::string_view node) {
  static constexpr Statement kPresented = {
      "tvs_presented", "SELECT sha256 FROM tvs_node_certificate WHERE cluster_id = $1 AND node = $2 ORDER BY sha256"};
  ASSIGN_OR_RETURN(const Result rows, connection_.Execute(kPresented, Parameters().Int64(cluster_id_).Text(node)));
  std::vector<Sha256Digest> certificates;
  for (const Row row : rows) RETURN_IF_ERROR(row.Scan(certificates.emplace_back()));
  return certificates;
}

absl::Status TvsReachStore::ForgetOld() {
  static constexpr Statement kForgetReach = {"tvs_reach_forget",
                                             "DELETE FROM tvs_reach WHERE cluster_id = $1 AND last_at < $2"};
  static constexpr Statement kForgetCertificates = {
      "tvs_node_certificates_forget", "DELETE FROM tvs_node_certificate WHERE cluster_id = $1 AND said_at < $2"};
  const Parameters of_old = Parameters().Int64(cluster_id_).Time(now_ - kMemory);
  RETURN_IF_ERROR(connection_.Execute(kForgetReach, of_old).status());
  return connection_.Execute(kForgetCertificates, of_old).status();
}

}  // namespace trustline
