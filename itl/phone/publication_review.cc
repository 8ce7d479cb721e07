#include "itl/phone/publication_review.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "common/bytes/bytes.h"
#include "common/bytes/checksums.h"
#include "common/postgres/transaction.h"
#include "common/status/status.h"
#include "itl/phone/phone_table.h"

namespace trustline {
namespace {

// Of a thousand servers the log names some.
constexpr size_t kMostNamed = 20;

constexpr Statement kHashes = {
    "tftp_server_hashes",
    "SELECT l.kind, s.name, s.host, g.sha1, h.sha1 FROM tftp_server s JOIN trust_list l ON l.cluster_id = s.cluster_id "
    "AND ((l.kind = 'ITL' AND l.tftp_server = s.name) OR l.kind = 'CTL') AND l.device = '' AND l.removed_at IS NULL "
    "JOIN trust_list_generation g ON (g.cluster_id, g.list_id, g.generation) = (l.cluster_id, l.list_id, l.generation) "
    "LEFT "
    "JOIN tftp_server_hash h ON (h.cluster_id, "
    "h.tftp_server, h.kind) = (s.cluster_id, s.name, l.kind) WHERE s.cluster_id = $1 AND s.removed_at IS NULL ORDER BY "
    "l.kind, s.name"};
constexpr Statement kPut = {
    "tftp_server_hash_put",
    "INSERT INTO tftp_server_hash AS h (cluster_id, tftp_server, kind, host, sha1, changed_at, compared_at) SELECT $1, "
    "n.name, n.kind, n.host, n.sha1, $6, $6 FROM unnest($2::text[], $3::text[], $4::text[], $5::bytea[]) AS n(name, "
    "kind, host, sha1) ORDER BY n.name, n.kind ON CONFLICT (cluster_id, tftp_server, kind) DO UPDATE SET host = "
    "excluded.host, sha1 = excluded.sha1, compared_at = excluded.compared_at, changed_at = CASE WHEN h.sha1 = "
    "excluded.sha1 THEN h.changed_at ELSE excluded.changed_at END"};
constexpr Statement kWithOwnLists = {
    "phones_with_own_lists",
    "SELECT p.device, p.itl_sha1, coalesce(s.name, '') FROM phone p JOIN phone_holding h USING (cluster_id, "
    "holding_id) "
    "LEFT JOIN reported_server s USING (cluster_id, server_id) WHERE p.cluster_id = $1 AND p.itl_sha1 IS NOT NULL AND "
    "p.device IN (SELECT device FROM trust_list WHERE cluster_id = $1 AND kind = 'ITL' AND device <> '') ORDER BY "
    "p.device"};

}  // namespace

void PublicationReview::Review(int32_t cluster_id, const std::string& cluster) {
  absl::Status done = CompareHashes(cluster_id, cluster);
  done.Update(JudgeOwnLists(cluster_id));
  if (done.ok()) return;
  log_.Warning("PHONE_REVIEW_FAILED", "a publication was not compared with the record of phones",
               {{"cluster", cluster}, {"reason", done}});
}

absl::Status PublicationReview::CompareHashes(int32_t cluster_id, const std::string& cluster) {
  ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
  ASSIGN_OR_RETURN(const Result rows, lease->Execute(kHashes, Parameters().Int64(cluster_id)));
  std::vector<std::string> names, kinds, hosts, sha1s;
  std::map<std::string, std::vector<std::string>> unchanged;  // by kind
  for (const Row row : rows) {
    std::string kind, name, host;
    Sha1Digest sha1;
    std::optional<Sha1Digest> before;
    RETURN_IF_ERROR(row.Scan(kind, name, host, sha1, before));
    if (before == sha1) {
      unchanged[kind].push_back(name);
    } else {
      log_.Info("TFTP_HASH_CHANGED", kind == "ITL" ? "Tftp Itl hash changed" : "Tftp Ctl hash changed",
                {{"cluster", cluster},
                 {"tftp_server", name},
                 {"host", host},
                 {"sha1", ToHex(sha1)},
                 {"before", before ? ToHex(*before) : "none"}});
    }
    names.push_back(std::move(name));
    kinds.push_back(std::move(kind));
    hosts.push_back(std::move(host));
    sha1s.emplace_back(AsText(sha1));
  }
  if (names.empty()) return absl::OkStatus();
  for (auto& [kind, servers] : unchanged) {
    const size_t count = servers.size();
    servers.resize(std::min(count, kMostNamed));
    log_.Info("TFTP_HASH_NOT_CHANGED", kind == "ITL" ? "Tftp Itl hash not changed" : "Tftp Ctl hash not changed",
              {{"cluster", cluster}, {"lists", count}, {"tftp_servers", absl::StrJoin(servers, ", ")}});
  }
  return lease
      ->Execute(kPut, Parameters()
                          .Int64(cluster_id)
                          .TextArray(names)
                          .TextArray(kinds)
                          .TextArray(hosts)
                          .BytesArray(sha1s)
                          .Time(clock_.Now()))
      .status();
}

absl::Status PublicationReview::JudgeOwnLists(int32_t cluster_id) {
  std::vector<HoldingStore::Said> said;
  {
    ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
    ASSIGN_OR_RETURN(const Result rows, lease->Execute(kWithOwnLists, Parameters().Int64(cluster_id)));
    for (const Row row : rows) {
      HoldingStore::Said one{.signature = {.state = ListSignature::State::kHash}};
      RETURN_IF_ERROR(row.Scan(one.device, one.signature.sha1, one.server));
      said.push_back(std::move(one));
    }
  }
  if (said.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::vector<int64_t> holdings, holdings_.Find(cluster_id, said));
  std::set<std::string> devices;
  for (const HoldingStore::Said& one : said) devices.insert(one.device);
  ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
  return RunInTransaction(*lease, {}, [&](Connection& connection) -> absl::Status {
    PhoneTable table(connection, cluster_id);
    ASSIGN_OR_RETURN(auto phones, table.Lock(devices));
    std::vector<const PhoneState*> changed;
    for (size_t i = 0; i < said.size(); ++i) {
      const auto phone = phones.find(said[i].device);
      // One that has reported something else meanwhile was judged then.
      if (phone == phones.end() || phone->second.itl_sha1 != said[i].signature.sha1) continue;
      PhoneState& state = phone->second;
      if (state.holding_id == holdings[i]) continue;
      if (state.held.sha1 == state.itl_sha1) state.held.holding_id = holdings[i];
      state.holding_id = holdings[i];
      changed.push_back(&state);
    }
    return table.Write(changed);
  });
}

}  // namespace trustline
