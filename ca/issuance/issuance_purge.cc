#include "ca/issuance/issuance_purge.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "common/bytes/sha256.h"
#include "common/postgres/transaction.h"
#include "common/service/audit.h"
#include "common/service/time_text.h"
#include "common/status/status.h"

namespace trustline {
namespace {

// $1 the cluster, $2 the time.
#define ENDED_CERTIFICATES                                                                 \
  "cluster_id = $1 AND not_after < $2 AND (state IN ('signed', 'delivered', 'confirmed') " \
  "OR (state = 'revoked' AND first_crl_number IS NOT NULL))"
#define ENDED_REQUESTS "cluster_id = $1 AND state = 'abandoned' AND abandoned_at < $2"

// By the database's clock, as the CRLs' entries are. In hours: a day of a session's time zone may have 23.
constexpr Statement kLatest = {"purge_latest", "SELECT now() - interval '720 hours'"};
constexpr Statement kCount = {"purge_count", "SELECT (SELECT count(*) FROM issuance WHERE " ENDED_CERTIFICATES
                                             "), (SELECT count(*) FROM issuance WHERE " ENDED_REQUESTS ")"};
// Who revokes at the same time is waited for, and the row judged again. Each batch begins behind the last one, and not
// among the index entries that it left.
constexpr Statement kRemoveCertificates = {
    "purge_certificates",
    "WITH ended AS (SELECT issuance_id FROM issuance WHERE " ENDED_CERTIFICATES
    " AND (not_after, issuance_id) > ($3, $4) ORDER BY not_after, issuance_id LIMIT $5 FOR UPDATE) "
    "DELETE FROM issuance i USING ended WHERE i.cluster_id = $1 AND i.issuance_id = ended.issuance_id "
    "RETURNING i.not_after, i.issuance_id, i.sha256"};
constexpr Statement kRemoveRequests = {
    "purge_requests",
    "WITH ended AS (SELECT issuance_id FROM issuance WHERE " ENDED_REQUESTS
    " AND issuance_id > $3 ORDER BY issuance_id LIMIT $4 FOR UPDATE) "
    "DELETE FROM issuance i USING ended WHERE i.cluster_id = $1 AND i.issuance_id = ended.issuance_id "
    "RETURNING i.issuance_id"};
#undef ENDED_CERTIFICATES
#undef ENDED_REQUESTS
constexpr Statement kRecord = {
    "purge_record",
    "INSERT INTO issuance_purge (cluster_id, expired_before, certificates, requests, first_not_after, last_not_after, "
    "sha256, purged_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING purge_number"};
constexpr Statement kPurgedBefore = {
    "purged_before", "SELECT max(expired_before) FROM issuance_purge WHERE cluster_id = $1 AND certificates > 0"};

// The last row that a batch removed, in the orders of the two statements.
struct Position {
  absl::Time not_after = absl::InfinitePast();
  int64_t certificate_id = 0;
  int64_t request_id = 0;
};

struct Batch {
  Position end;
  std::optional<absl::Time> first_not_after, last_not_after;
  std::vector<Sha256Digest> certificates;
  int64_t requests = 0;

  int64_t rows() const { return static_cast<int64_t>(certificates.size()) + requests; }
};

absl::Status CheckTime(Connection& connection, absl::Time expired_before) {
  ASSIGN_OR_RETURN(const Result result, connection.Execute(kLatest));
  ASSIGN_OR_RETURN(const absl::Time latest, result.Value<absl::Time>());
  if (expired_before <= latest) return absl::OkStatus();
  return FailedPrecondition(
      "nothing was removed: what ended within the last 30 days is kept, because CRLs may have to name it; the latest "
      "time to purge before is {}",
      TimeTextSeconds(latest));
}

absl::Status RemoveCertificates(Connection& connection, const PurgeOrder& order, Batch& batch) {
  ASSIGN_OR_RETURN(const Result removed, connection.Execute(kRemoveCertificates, Parameters()
                                                                                     .Int64(order.caller.cluster_id)
                                                                                     .Time(order.expired_before)
                                                                                     .Time(batch.end.not_after)
                                                                                     .Int64(batch.end.certificate_id)
                                                                                     .Int64(order.batch)));
  std::pair<absl::Time, int64_t> last = {batch.end.not_after, batch.end.certificate_id};
  for (const Row row : removed) {
    absl::Time not_after;
    int64_t id = 0;
    RETURN_IF_ERROR(row.Scan(not_after, id, batch.certificates.emplace_back()));
    batch.first_not_after = std::min(batch.first_not_after.value_or(not_after), not_after);
    last = std::max(last, std::pair(not_after, id));
  }
  if (batch.certificates.empty()) return absl::OkStatus();
  batch.last_not_after = last.first;
  batch.end.not_after = last.first;
  batch.end.certificate_id = last.second;
  return absl::OkStatus();
}

absl::Status RemoveRequests(Connection& connection, const PurgeOrder& order, Batch& batch) {
  const int64_t left = order.batch - batch.rows();
  if (left <= 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Result removed, connection.Execute(kRemoveRequests, Parameters()
                                                                                 .Int64(order.caller.cluster_id)
                                                                                 .Time(order.expired_before)
                                                                                 .Int64(batch.end.request_id)
                                                                                 .Int64(left)));
  for (const Row row : removed) {
    ASSIGN_OR_RETURN(const int64_t id, row.Get<int64_t>(0));
    batch.end.request_id = std::max(batch.end.request_id, id);
  }
  batch.requests = removed.rows();
  return absl::OkStatus();
}

Sha256Digest DigestOf(std::vector<Sha256Digest> certificates) {
  std::ranges::sort(certificates);
  std::string all;
  all.reserve(certificates.size() * sizeof(Sha256Digest));
  for (const Sha256Digest& sha256 : certificates) all += AsText(sha256);
  return Sha256(AsBytes(all));
}

absl::Status RecordBatch(Connection& connection, const PurgeOrder& order, const Batch& batch) {
  const auto certificates = static_cast<int64_t>(batch.certificates.size());
  const Sha256Digest digest = DigestOf(batch.certificates);
  ASSIGN_OR_RETURN(const Result result, connection.Execute(kRecord, Parameters()
                                                                        .Int64(order.caller.cluster_id)
                                                                        .Time(order.expired_before)
                                                                        .Int64(certificates)
                                                                        .Int64(batch.requests)
                                                                        .Time(batch.first_not_after)
                                                                        .Time(batch.last_not_after)
                                                                        .Bytes(digest)
                                                                        .Text(order.caller.actor)));
  ASSIGN_OR_RETURN(const int64_t number, result.Value<int64_t>());
  AuditEvent event = {.cluster_id = order.caller.cluster_id, .actor = order.caller.actor, .action = "lsc.purge"};
  event.subject = fmt::format("certificates that ended before {}", TimeTextSeconds(order.expired_before));
  event.detail = {{"purge", std::to_string(number)},
                  {"certificates", std::to_string(certificates)},
                  {"requests", std::to_string(batch.requests)},
                  {"sha256", ToHex(digest)}};
  if (batch.first_not_after && batch.last_not_after) {
    event.detail.emplace_back("first_not_after", TimeTextSeconds(*batch.first_not_after));
    event.detail.emplace_back("last_not_after", TimeTextSeconds(*batch.last_not_after));
  }
  return AppendAudit(connection, event);
}

absl::StatusOr<Batch> RemoveBatch(Connection& connection, const PurgeOrder& order, const Position& after) {
  Batch batch = {.end = after};
  RETURN_IF_ERROR(RemoveCertificates(connection, order, batch));
  RETURN_IF_ERROR(RemoveRequests(connection, order, batch));
  if (batch.rows() > 0) RETURN_IF_ERROR(RecordBatch(connection, order, batch));
  return batch;
}

}  // namespace

absl::StatusOr<PurgeCount> PurgeIssuances(Pool& pool, const PurgeOrder& order,
                                          const std::function<absl::Status(const PurgeCount&)>& progress) {
  {
    ASSIGN_OR_RETURN(const Pool::Lease lease, pool.Acquire());
    RETURN_IF_ERROR(CheckTime(*lease, order.expired_before));
  }
  PurgeCount count;
  Position end;
  while (true) {
    ASSIGN_OR_RETURN(const Batch batch, RunInTransaction(pool, {}, [&](Connection& connection) {
                       return RemoveBatch(connection, order, end);
                     }));
    count.certificates += static_cast<int64_t>(batch.certificates.size());
    count.requests += batch.requests;
    if (batch.rows() < order.batch) return count;
    end = batch.end;
    RETURN_IF_ERROR(progress(count));
  }
}

absl::StatusOr<PurgeCount> CountPurgeable(Connection& connection, int32_t cluster_id, absl::Time expired_before) {
  RETURN_IF_ERROR(CheckTime(connection, expired_before));
  ASSIGN_OR_RETURN(const Result result,
                   connection.Execute(kCount, Parameters().Int64(cluster_id).Time(expired_before)));
  PurgeCount count;
  RETURN_IF_ERROR(result[0].Scan(count.certificates, count.requests));
  return count;
}

absl::StatusOr<std::optional<absl::Time>> PurgedBefore(Connection& connection, int32_t cluster_id) {
  ASSIGN_OR_RETURN(const Result result, connection.Execute(kPurgedBefore, Parameters().Int64(cluster_id)));
  return result.Value<std::optional<absl::Time>>();
}

}  // namespace trustline
