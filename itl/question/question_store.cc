#include "itl/question/question_store.h"

#include <algorithm>
#include <map>

#include "common/bytes/bytes.h"
#include "common/postgres/list_plan.h"
#include "common/status/status.h"
#include "itl/question/tvs_reach_store.h"

namespace trustline {
namespace {

constexpr absl::Duration kOldestQuestion = absl::Hours(24 * 30);
// A process that has sent nothing for so long has nothing on its way any more.
constexpr absl::Duration kLifeOfBatches = absl::Hours(24 * 7);

std::string Hour(std::string_view expression) { return fmt::format("date_trunc('hour', {}, 'UTC')", expression); }

}  // namespace

absl::StatusOr<bool> QuestionStore::Count(const QuestionBatch& batch, const QuestionLimits& limits) {
  static constexpr Statement kBatch = {
      "tvs_question_batch",
      "INSERT INTO tvs_question_batch AS b (cluster_id, node, process, batch, at) VALUES ($1, $2, $3, $4, $5) "
      "ON CONFLICT (cluster_id, node, process) DO UPDATE SET batch = excluded.batch, at = excluded.at "
      "WHERE b.batch < excluded.batch RETURNING batch"};
  static constexpr Statement kUseRoom = {
      "tvs_question_room_used",
      "UPDATE tvs_question_room SET questions = questions + $2, signers = signers + $3 WHERE cluster_id = $1"};
  connection_.ExecuteWithNext(kOnePlanForLists);
  ASSIGN_OR_RETURN(const Result is_new, connection_.Execute(kBatch, Parameters()
                                                                        .Int64(cluster_id_)
                                                                        .Text(batch.node)
                                                                        .Int64(static_cast<int64_t>(batch.process))
                                                                        .Int64(batch.number)
                                                                        .Time(now_)));
  if (is_new.empty()) return false;
  ASSIGN_OR_RETURN(const Room used, LockRoom());
  if (used.questions == 0 && used.signers == 0) RETURN_IF_ERROR(ForgetOld());
  Room added;
  if (!batch.counts.empty()) {
    ASSIGN_OR_RETURN(const std::vector<int64_t> signer_ids,
                     SignerIds(batch.counts, std::max<int64_t>(limits.signers - used.signers, 0), added.signers));
    ASSIGN_OR_RETURN(added.questions, AddCounts(batch.node, batch.counts, signer_ids,
                                                std::max<int64_t>(limits.questions - used.questions, 0)));
  }
  TvsReachStore reach(connection_, cluster_id_, now_);
  RETURN_IF_ERROR(reach.SawAsking(batch.node, batch.counts));
  if (!batch.presented.empty()) reach.Presents(batch.node, batch.presented);
  RETURN_IF_ERROR(
      connection_.Execute(kUseRoom, Parameters().Int64(cluster_id_).Int64(added.questions).Int64(added.signers))
          .status());
  return true;
}

absl::Time QuestionStore::Within(absl::Time at) const { return std::clamp(at, now_ - kOldestQuestion, now_); }

absl::StatusOr<QuestionStore::Room> QuestionStore::LockRoom() {
  static constexpr Statement kLock = {
      "tvs_question_room",
      "INSERT INTO tvs_question_room AS r (cluster_id, at, questions, signers) "
      "VALUES ($1, date_trunc('hour', $2::timestamptz, 'UTC'), 0, 0) ON CONFLICT (cluster_id) DO UPDATE SET "
      "at = excluded.at, questions = CASE WHEN r.at = excluded.at THEN r.questions ELSE 0 END, "
      "signers = CASE WHEN r.at = excluded.at THEN r.signers ELSE 0 END RETURNING questions, signers"};
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(kLock, Parameters().Int64(cluster_id_).Time(now_)));
  Room used;
  RETURN_IF_ERROR(result[0].Scan(used.questions, used.signers));
  return used;
}

absl::Status QuestionStore::ForgetOld() {
  static constexpr Statement kForgetBatches = {"tvs_question_batches_forget",
                                               "DELETE FROM tvs_question_batch WHERE cluster_id = $1 AND at < $2"};
  // Whoever drops questions drops the oldest.
  static constexpr Statement kForgetSigners = {
      "tvs_question_signers_forget",
      "DELETE FROM tvs_question_signer WHERE cluster_id = $1 "
      "AND last_at < (SELECT min(at) FROM tvs_question WHERE cluster_id = $1)"};
  RETURN_IF_ERROR(
      connection_.Execute(kForgetBatches, Parameters().Int64(cluster_id_).Time(now_ - kLifeOfBatches)).status());
  RETURN_IF_ERROR(connection_.Execute(kForgetSigners, Parameters().Int64(cluster_id_)).status());
  return TvsReachStore(connection_, cluster_id_, now_).ForgetOld();
}

// The number of each count's signer; of one that found no room, that of nobody.
absl::StatusOr<std::vector<int64_t>> QuestionStore::SignerIds(const std::vector<QuestionCounts>& counts, int64_t room,
                                                              int64_t& added) {
  static constexpr Statement kSigners = {
      "tvs_question_signers",
      "WITH named AS (SELECT * FROM unnest($2::text[], $3::text[], $4::text[], $5::bytea[]) WITH ORDINALITY "
      "  AS n (kind, subject, issuer, serial, number)), "
      "known AS (SELECT n.number, s.signer_id FROM named n, LATERAL (SELECT signer_id FROM tvs_question_signer s "
      "  WHERE s.cluster_id = $1 AND s.kind = n.kind AND s.serial = n.serial AND s.issuer = n.issuer "
      "  AND s.subject = n.subject OFFSET 0) s), "
      "touched AS (UPDATE tvs_question_signer SET last_at = $7 WHERE cluster_id = $1 "
      "  AND signer_id IN (SELECT signer_id FROM known) AND last_at < $7), "
      "added AS (INSERT INTO tvs_question_signer (cluster_id, kind, subject, issuer, serial, last_at) "
      "  SELECT $1, n.kind, n.subject, n.issuer, n.serial, $7 FROM named n "
      "  WHERE n.number NOT IN (SELECT number FROM known) "
      "  ORDER BY n.number LIMIT $6 + 2 - (SELECT count(*) FROM known WHERE number <= 2) "
      "  RETURNING signer_id, kind, subject, issuer, serial) "
      "SELECT number, signer_id::bigint, false FROM known "
      "UNION ALL SELECT n.number, a.signer_id::bigint, true FROM added a "
      "JOIN named n USING (kind, subject, issuer, serial)"};
  // Nobody, of both kinds, comes first, and needs no room.
  std::map<QuestionSigner, size_t> places = {{{.is_query = false}, 0}, {{.is_query = true}, 1}};
  std::vector<const QuestionSigner*> signers = {&places.begin()->first, &std::next(places.begin())->first};
  absl::Time last_at = absl::InfinitePast();
  for (const QuestionCounts& count : counts) {
    if (places.try_emplace(count.signer, signers.size()).second) signers.push_back(&count.signer);
    last_at = std::max(last_at, count.last_at);
  }
  std::vector<std::string> kinds, subjects, issuers, serials;
  for (const QuestionSigner* signer : signers) {
    kinds.emplace_back(signer->is_query ? "query" : "verify");
    subjects.push_back(signer->subject);
    issuers.push_back(signer->issuer);
    serials.push_back(signer->serial);
  }
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(kSigners, Parameters()
                                                                          .Int64(cluster_id_)
                                                                          .TextArray(kinds)
                                                                          .TextArray(subjects)
                                                                          .TextArray(issuers)
                                                                          .BytesArray(serials)
                                                                          .Int64(room)
                                                                          .Time(Within(last_at))));
  std::vector<int64_t> ids(signers.size(), 0);
  for (const Row row : result) {
    int64_t number = 0, id = 0;
    bool is_new = false;
    RETURN_IF_ERROR(row.Scan(number, id, is_new));
    ids[static_cast<size_t>(number - 1)] = id;
    if (is_new && number > 2) ++added;
  }
  std::vector<int64_t> of_counts;
  for (const QuestionCounts& count : counts) {
    const int64_t id = ids[places[count.signer]];
    of_counts.push_back(id != 0 ? id : ids[count.signer.is_query ? 1 : 0]);
  }
  return of_counts;
}

// Returns how many rows with a device are new.
absl::StatusOr<int64_t> QuestionStore::AddCounts(std::string_view node, const std::vector<QuestionCounts>& counts,
                                                 const std::vector<int64_t>& signer_ids, int64_t room) {
  // OFFSET 0: by the primary key, whatever the planner knows of a young partition.
  static constexpr Statement kAdd = {
      "tvs_question_counts",
      "WITH input AS (SELECT date_trunc('hour', last_at, 'UTC') AS at, device, signer_id::integer AS signer_id, "
      "  valid = 1 AS valid, reason::smallint AS reason, sum(count)::bigint AS count, min(first_at) AS first_at, "
      "  max(last_at) AS last_at, (array_agg(address ORDER BY last_at DESC))[1] AS address "
      "  FROM (SELECT device, signer_id, valid, reason, count, address, "
      "        'epoch'::timestamptz + first_us * interval '1 microsecond' AS first_at, "
      "        'epoch'::timestamptz + last_us * interval '1 microsecond' AS last_at "
      "        FROM unnest($3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], "
      "        $9::bigint[], $10::text[]) AS u (device, signer_id, valid, reason, count, first_us, last_us, address)) "
      "u "
      "  GROUP BY 1, 2, 3, 4, 5), "
      "marked AS (SELECT i.*, k.known, row_number() OVER (PARTITION BY k.known IS NULL AND i.device <> '' "
      "  ORDER BY i.signer_id DESC, i.device) AS number "
      "  FROM input i LEFT JOIN LATERAL (SELECT true AS known FROM tvs_question q WHERE q.cluster_id = $1 "
      "  AND q.at = i.at AND q.device = i.device AND q.signer_id = i.signer_id AND q.valid = i.valid "
      "  AND q.reason = i.reason AND q.node = $2 OFFSET 0) k ON true), "
      "added AS (INSERT INTO tvs_question AS q (cluster_id, at, device, signer_id, valid, reason, node, count, "
      "  first_at, last_at, address) SELECT $1, at, CASE WHEN known OR number <= $11 THEN device ELSE '' END, "
      "  signer_id, valid, reason, $2, sum(count), min(first_at), max(last_at), "
      "  (array_agg(address ORDER BY last_at DESC))[1] FROM marked GROUP BY 2, 3, 4, 5, 6 ORDER BY 2, 3, 4, 5, 6 "
      "  ON CONFLICT (cluster_id, at, device, signer_id, valid, reason, node) DO UPDATE SET "
      "  count = q.count + excluded.count, first_at = least(q.first_at, excluded.first_at), "
      "  last_at = greatest(q.last_at, excluded.last_at), "
      "  address = CASE WHEN excluded.last_at >= q.last_at THEN excluded.address ELSE q.address END) "
      "SELECT count(*) FROM marked WHERE known IS NULL AND device <> '' AND number <= $11"};
  std::vector<std::string> devices, addresses;
  std::vector<int64_t> valid, reasons, numbers, first, last;
  for (const QuestionCounts& count : counts) {
    devices.push_back(count.device);
    valid.push_back(count.valid ? 1 : 0);
    reasons.push_back(count.reason);
    numbers.push_back(count.count);
    last.push_back(absl::ToUnixMicros(Within(count.last_at)));
    first.push_back(absl::ToUnixMicros(Within(std::min(count.first_at, count.last_at))));
    addresses.push_back(count.address);
  }
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(kAdd, Parameters()
                                                                      .Int64(cluster_id_)
                                                                      .Text(node)
                                                                      .TextArray(devices)
                                                                      .Int64Array(signer_ids)
                                                                      .Int64Array(valid)
                                                                      .Int64Array(reasons)
                                                                      .Int64Array(numbers)
                                                                      .Int64Array(first)
                                                                      .Int64Array(last)
                                                                      .TextArray(addresses)
                                                                      .Int64(room)));
  return result.Value<int64_t>();
}

absl::StatusOr<std::vector<QuestionLine>> QuestionStore::List(const QuestionFilter& filter,
                                                              const std::optional<QuestionPosition>& position,
                                                              int32_t most) {
  // Counts are small next to what they are added up from: the phones, which are not, are counted by themselves.
  Parameters parameters;
  parameters.Int64(cluster_id_).Time(filter.since);
  std::string where = fmt::format("cluster_id = $1 AND at >= {}", Hour("$2"));
  const auto next = [&parameters](const Parameters&) { return fmt::format("${}", parameters.size()); };
  if (!filter.device.empty()) where += " AND device = " + next(parameters.Text(filter.device));
  if (filter.valid) where += *filter.valid ? " AND valid" : " AND NOT valid";
  const std::string who = filter.by_device ? "device" : "signer_id";
  const std::string columns = filter.by_device ? "device, min(low) AS low, max(high) AS high"
                                               : "signer_id, signer_id AS low, signer_id AS high";
  std::string after = "true";
  if (position) {
    const std::string unknown = next(parameters.Int64(position->unknown ? 0 : 1));
    const std::string count = next(parameters.Int64(-position->count));
    const std::string key =
        filter.by_device ? next(parameters.Text(position->device)) : next(parameters.Int64(position->signer_id));
    const std::string valid = next(parameters.Bool(position->valid));
    const std::string reason = next(parameters.Int64(position->reason));
    after = fmt::format("(unknown, -count, {}, valid, reason) > ({}, {}, {}, {}, {})", who, unknown, count, key, valid,
                        reason);
  }
  const std::string limit = next(parameters.Int64(most));
  std::string phones = "SELECT 0 AS signer_id, false AS valid, 0::smallint AS reason, 0::bigint AS phones LIMIT 0";
  if (!filter.by_device && filter.device.empty()) {
    phones = fmt::format(
        "SELECT signer_id, valid, reason, count(*) AS phones FROM (SELECT DISTINCT signer_id, valid, reason, device "
        "FROM tvs_question WHERE {} AND device <> '') d GROUP BY 1, 2, 3",
        where);
  }
  const std::string device =
      filter.by_device ? "p.device" : fmt::format("{}::text", next(parameters.Text(filter.device)));
  const std::string sql = fmt::format(
      "WITH totals AS (SELECT {0}, valid, reason, node, sum(count) AS count, min(signer_id) AS low, "
      "max(signer_id) AS high, min(first_at) AS first_at, max(last_at) AS last_at FROM tvs_question WHERE {1} "
      "GROUP BY 1, 2, 3, 4), "
      "lines AS (SELECT {2}, valid, reason, CASE WHEN reason = 1 THEN 0 ELSE 1 END::bigint AS unknown, "
      "sum(count)::bigint AS count, array_agg(node ORDER BY node) AS nodes, min(first_at) AS first_at, "
      "max(last_at) AS last_at FROM totals GROUP BY {0}, valid, reason), "
      "page AS (SELECT * FROM lines WHERE {3} ORDER BY unknown, -count, {0}, valid, reason LIMIT {4}), "
      "phones AS ({5}) "
      "SELECT CASE WHEN p.low = p.high THEN p.low ELSE 0 END, s.kind, s.subject, s.issuer, s.serial, {6}, p.valid, "
      "p.reason::integer, p.count, coalesce(n.phones, CASE WHEN {6} = '' THEN 0 ELSE 1 END), p.nodes, p.first_at, "
      "p.last_at FROM page p LEFT JOIN tvs_question_signer s ON s.cluster_id = $1 AND s.signer_id = p.low "
      "AND p.low = p.high LEFT JOIN phones n ON n.signer_id = p.low AND n.valid = p.valid AND n.reason = p.reason "
      "ORDER BY p.unknown, -p.count, p.{0}, p.valid, p.reason",
      who, where, columns, after, limit, phones, device);
  // A million rows are counted in memory.
  static constexpr Statement kMemory = {"tvs_question_memory", "SET LOCAL work_mem = '64MB'"};
  connection_.ExecuteWithNext(kMemory);
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(sql.c_str(), parameters));
  std::vector<QuestionLine> lines;
  for (const Row row : result) {
    QuestionLine line;
    std::optional<std::string> kind, subject, issuer, serial;
    RETURN_IF_ERROR(row.Scan(line.signer_id, kind, subject, issuer, serial, line.device, line.valid, line.reason,
                             line.count, line.phones, line.nodes, line.first_at, line.last_at));
    if (kind) {
      line.signer = {.is_query = *kind == "query",
                     .subject = *std::move(subject),
                     .issuer = *std::move(issuer),
                     .serial = *std::move(serial)};
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace trustline
