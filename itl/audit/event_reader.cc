#include "itl/audit/event_reader.h"

#include "common/status/status.h"

namespace trustline {
namespace {

// $1 to $5 of every query below.
#define TRUSTLINE_AUDIT_FILTER                                                         \
  "e.cluster_id = ANY($1) AND ($2::timestamptz IS NULL OR e.occurred_at >= $2) "       \
  "AND ($3::timestamptz IS NULL OR e.occurred_at <= $3) "                              \
  "AND ($4::text = '' OR e.actor = $4 OR right(e.actor, length($4) + 1) = '/' || $4) " \
  "AND ($5::text = '' OR e.action = $5 OR starts_with(e.action, $5 || '.')) "

Parameters FilterParameters(const AuditFilter& filter) {
  Parameters parameters;
  parameters.Int64Array(filter.cluster_ids)
      .Time(filter.since)
      .Time(filter.until)
      .Text(filter.actor)
      .Text(filter.action);
  return parameters;
}

}  // namespace

absl::StatusOr<AuditEventReader> AuditEventReader::Create(Connection& connection, AuditFilter filter) {
  static constexpr Statement kBounds = {
      "audit_list_bounds",
      "SELECT coalesce(min(event_id), 0), coalesce(max(event_id), -1) FROM (SELECT e.event_id FROM audit_event e "
      "WHERE " TRUSTLINE_AUDIT_FILTER "ORDER BY e.event_id DESC LIMIT $6) AS newest"};
  static constexpr Statement kLast = {"audit_list_last", "SELECT coalesce(max(event_id), 0) FROM audit_event"};
  if (filter.limit < 0) return InvalidArgument("the limit must not be negative: 0 lists all");
  if (filter.limit == 0) {
    ASSIGN_OR_RETURN(const Result last, connection.Execute(kLast));
    ASSIGN_OR_RETURN(const int64_t last_id, last.Value<int64_t>());
    return AuditEventReader(std::move(filter), 0, last_id);
  }
  ASSIGN_OR_RETURN(const Result bounds, connection.Execute(kBounds, FilterParameters(filter).Int64(filter.limit)));
  int64_t first;
  int64_t last;
  RETURN_IF_ERROR(bounds[0].Scan(first, last));
  return AuditEventReader(std::move(filter), first - 1, last);
}

absl::StatusOr<std::vector<ListedAuditEvent>> AuditEventReader::Next(Connection& connection) {
  static constexpr Statement kPage = {
      "audit_list_page",
      "SELECT e.event_id, e.cluster_id, e.at, e.occurred_at, e.actor, e.action, e.subject, e.outcome, e.detail, "
      "coalesce(c.name, ''), s.number, s.hash FROM audit_event e "
      "LEFT JOIN cluster c ON c.cluster_id = e.cluster_id "
      "LEFT JOIN audit_seal s ON s.event_id = e.event_id AND s.at = e.at "
      "WHERE " TRUSTLINE_AUDIT_FILTER "AND e.event_id > $6 AND e.event_id <= $7 ORDER BY e.event_id LIMIT 500"};
  std::vector<ListedAuditEvent> events;
  if (after_ >= last_) return events;
  ASSIGN_OR_RETURN(const Result page, connection.Execute(kPage, FilterParameters(filter_).Int64(after_).Int64(last_)));
  for (const Row row : page) {
    ListedAuditEvent& event = events.emplace_back();
    std::optional<int64_t> number;
    std::optional<Sha256Digest> hash;
    RETURN_IF_ERROR(row.Scan(event.row.event_id, event.row.cluster_id, event.row.at, event.row.occurred_at,
                             event.row.actor, event.row.action, event.row.subject, event.row.outcome, event.row.detail,
                             event.cluster, number, hash));
    if (number && hash) event.seal = Seal{*number, *hash};
    after_ = event.row.event_id;
  }
  return events;
}

}  // namespace trustline
