#include "itl/adoption/adopted_list_store.h"

#include "common/bytes/bytes.h"
#include "common/bytes/sha256.h"
#include "common/status/status.h"

namespace trustline {
namespace {

// Any number that no other advisory lock of the system has ("adopt" as bytes).
constexpr int64_t kLockNumber = 0x61646f7074;

constexpr Statement kLock = {"adoption_lock", "SELECT pg_advisory_xact_lock($1)"};
constexpr Statement kDisplace = {
    "adoption_displace",
    "UPDATE adopted_list SET is_current = false WHERE cluster_id = $1 AND origin = $2 AND kind = $3 AND tftp_server = "
    "$4 AND is_current AND sha1 <> $5"};
constexpr Statement kPut = {
    "adoption_put",
    "INSERT INTO adopted_list AS a (cluster_id, origin, own, kind, tftp_server, file, sha1, sha256, is_current, "
    "adopted_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, true, $9) ON CONFLICT (cluster_id, origin, kind, tftp_server, "
    "sha1) DO UPDATE SET is_current = true WHERE NOT a.is_current RETURNING xmax = 0"};
constexpr Statement kSetOwn = {"adoption_set_own",
                               "UPDATE adopted_list SET own = $3 WHERE cluster_id = $1 AND origin = $2 AND own <> $3"};
// What phones said, of files that are adopted: the old holding and the one that it becomes, in the order of
// HoldingStore. A list of ours stays one of ours.
#define ADOPTION_CHOSEN                                                                                            \
  "chosen AS (SELECT DISTINCT ON (kind, sha1) kind, sha1, adopted_id FROM adopted_list WHERE cluster_id = $1 AND " \
  "sha1 = ANY($2) ORDER BY kind, sha1, own DESC, adopted_id DESC), old AS (SELECT h.holding_id, h.kind, "          \
  "h.server_id, h.own_list, c.sha1, c.adopted_id FROM phone_holding h JOIN chosen c ON c.kind = h.kind WHERE "     \
  "h.cluster_id = $1 AND h.state = 'hash' AND h.list_id = 0 AND h.adopted_id <> c.adopted_id)"
constexpr Statement kAddHoldings = {
    "adoption_add_holdings",
    "WITH " ADOPTION_CHOSEN
    ", said AS (SELECT holding_id, sha1 FROM phone_held WHERE cluster_id = $1 AND sha1 = ANY($2) UNION SELECT "
    "v.holding_id, v.sha1 FROM phone p, LATERAL (VALUES (p.holding_id, p.itl_sha1), (p.ctl_holding_id, p.ctl_sha1), "
    "(p.held_id, p.held_sha1), (p.held_ctl_id, p.held_ctl_sha1)) AS v (holding_id, sha1) WHERE p.cluster_id = $1 AND "
    "v.sha1 = ANY($2)) INSERT INTO phone_holding (cluster_id, kind, state, server_id, adopted_id, own_list) SELECT "
    "DISTINCT $1::integer, o.kind, 'hash', o.server_id, o.adopted_id, o.own_list FROM old o JOIN said USING "
    "(holding_id, sha1) ON CONFLICT DO NOTHING"};
constexpr Statement kMovePhones = {
    "adoption_move_phones",
    "WITH " ADOPTION_CHOSEN
    ", moves AS MATERIALIZED (SELECT o.holding_id AS from_id, o.sha1, n.holding_id AS to_id FROM old o JOIN "
    "phone_holding n ON n.cluster_id = $1 AND (n.kind, n.state, n.server_id, n.list_id, n.generation, n.adopted_id, "
    "n.own_list) = (o.kind, 'hash', o.server_id, 0, 0, o.adopted_id, o.own_list)), "
    // The ledger: a row that is there already for the new holding takes up the old one.
    "taken AS (DELETE FROM phone_held h USING moves m WHERE h.cluster_id = $1 AND h.holding_id = m.from_id AND h.sha1 "
    "= m.sha1 RETURNING h.device, m.to_id, h.sha1, h.how, h.first_at, h.last_at), "
    "kept AS (INSERT INTO phone_held AS h (cluster_id, device, holding_id, sha1, how, first_at, last_at) SELECT $1, "
    "device, to_id, sha1, how, min(first_at), max(last_at) FROM taken GROUP BY device, to_id, sha1, how ON CONFLICT "
    "(cluster_id, device, holding_id, sha1, how) DO UPDATE SET first_at = least(h.first_at, excluded.first_at), "
    "last_at = greatest(h.last_at, excluded.last_at)) "
    "UPDATE phone p SET holding_id = coalesce(i.to_id, p.holding_id), ctl_holding_id = coalesce(c.to_id, "
    "p.ctl_holding_id), held_id = coalesce(hi.to_id, p.held_id), held_ctl_id = coalesce(hc.to_id, p.held_ctl_id) FROM "
    "phone q LEFT JOIN moves i ON (i.from_id, i.sha1) = (q.holding_id, q.itl_sha1) LEFT JOIN moves c ON (c.from_id, "
    "c.sha1) = (q.ctl_holding_id, q.ctl_sha1) LEFT JOIN moves hi ON (hi.from_id, hi.sha1) = (q.held_id, q.held_sha1) "
    "LEFT JOIN moves hc ON (hc.from_id, hc.sha1) = (q.held_ctl_id, q.held_ctl_sha1) WHERE p.cluster_id = $1 AND "
    "q.cluster_id = $1 AND q.device = p.device AND (q.itl_sha1 = ANY($2) OR q.ctl_sha1 = ANY($2) OR q.held_sha1 = "
    "ANY($2) OR q.held_ctl_sha1 = ANY($2)) AND coalesce(i.to_id, c.to_id, hi.to_id, hc.to_id) IS NOT NULL"};
#undef ADOPTION_CHOSEN
constexpr Statement kList = {
    "adoption_list",
    "WITH held AS (SELECT 'ITL' AS kind, itl_sha1 AS sha1, count(*) AS phones FROM phone WHERE cluster_id = $1 AND "
    "itl_sha1 IN (SELECT sha1 FROM adopted_list WHERE cluster_id = $1) GROUP BY itl_sha1 UNION ALL SELECT 'CTL', "
    "ctl_sha1, count(*) FROM phone WHERE cluster_id = $1 AND ctl_sha1 IN (SELECT sha1 FROM adopted_list WHERE "
    "cluster_id = $1) GROUP BY ctl_sha1) SELECT a.origin, a.own, a.kind, a.tftp_server, a.sha1, a.is_current, "
    "length(a.file), a.adopted_by, a.adopted_at, coalesce(h.phones, 0) FROM adopted_list a LEFT JOIN held h ON h.kind "
    "= a.kind AND h.sha1 = a.sha1 WHERE a.cluster_id = $1 AND ($2::bytea IS NULL OR a.sha1 = $2) ORDER BY a.origin, "
    "a.tftp_server, a.kind DESC, a.is_current DESC, a.adopted_id DESC"};
constexpr Statement kContent = {"adoption_content",
                                "SELECT file FROM adopted_list WHERE cluster_id = $1 AND sha1 = $2 LIMIT 1"};

}  // namespace

absl::Status AdoptedListStore::Lock() { return connection_.Execute(kLock, Parameters().Int64(kLockNumber)).status(); }

absl::StatusOr<AdoptedListStore::Outcome> AdoptedListStore::Put(std::string_view origin, bool own,
                                                                const AdoptedFile& file, std::string_view actor) {
  const Sha1Digest sha1 = Sha1(AsBytes(file.content));
  RETURN_IF_ERROR(connection_
                      .Execute(kDisplace, Parameters()
                                              .Int64(cluster_id_)
                                              .Text(origin)
                                              .Text(ListKindName(file.kind))
                                              .Text(file.tftp_server)
                                              .Bytes(sha1))
                      .status());
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(kPut, Parameters()
                                                                      .Int64(cluster_id_)
                                                                      .Text(origin)
                                                                      .Bool(own)
                                                                      .Text(ListKindName(file.kind))
                                                                      .Text(file.tftp_server)
                                                                      .Bytes(AsBytes(file.content))
                                                                      .Bytes(sha1)
                                                                      .Bytes(Sha256(AsBytes(file.content)))
                                                                      .Text(actor)));
  if (result.empty()) return Outcome::kUnchanged;
  ASSIGN_OR_RETURN(const bool added, result.Value<bool>());
  return added ? Outcome::kAdded : Outcome::kCurrentAgain;
}

absl::StatusOr<int64_t> AdoptedListStore::SetOwn(std::string_view origin, bool own) {
  ASSIGN_OR_RETURN(const Result result,
                   connection_.Execute(kSetOwn, Parameters().Int64(cluster_id_).Text(origin).Bool(own)));
  return result.affected();
}

absl::StatusOr<int64_t> AdoptedListStore::ResolvePhones(const std::vector<Sha1Digest>& files) {
  std::vector<std::string> hashes;
  hashes.reserve(files.size());
  for (const Sha1Digest& file : files) hashes.emplace_back(AsText(file));
  RETURN_IF_ERROR(connection_.Execute(kAddHoldings, Parameters().Int64(cluster_id_).BytesArray(hashes)).status());
  ASSIGN_OR_RETURN(const Result moved,
                   connection_.Execute(kMovePhones, Parameters().Int64(cluster_id_).BytesArray(hashes)));
  return moved.affected();
}

absl::StatusOr<std::vector<AdoptedList>> AdoptedListStore::List(const std::optional<Sha1Digest>& sha1) {
  ASSIGN_OR_RETURN(const Result rows, connection_.Execute(kList, Parameters().Int64(cluster_id_).Bytes(sha1)));
  std::vector<AdoptedList> lists;
  for (const Row row : rows) {
    AdoptedList& list = lists.emplace_back();
    std::string kind;
    RETURN_IF_ERROR(row.Scan(list.origin, list.own, kind, list.tftp_server, list.sha1, list.is_current, list.size,
                             list.adopted_by, list.adopted_at, list.phones));
    list.kind = kind == ListKindName(ListKind::kCtl) ? ListKind::kCtl : ListKind::kItl;
  }
  return lists;
}

absl::StatusOr<std::string> AdoptedListStore::Content(const Sha1Digest& sha1) {
  ASSIGN_OR_RETURN(const Result rows, connection_.Execute(kContent, Parameters().Int64(cluster_id_).Bytes(sha1)));
  if (!rows.empty()) return rows.Value<std::string>();
  return NotFound("no adopted list has the SHA-1 {}: `trustctl adopt list` shows them", ToHex(sha1));
}

}  // namespace trustline
