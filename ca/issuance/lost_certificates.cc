#include "ca/issuance/lost_certificates.h"

#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "common/bytes/bytes.h"
#include "common/service/time_text.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr int kBatch = 500;

// In the order of the log's key.
constexpr Statement kIssueEvents = {
    "audit_issue_events",
    "SELECT at, event_id, subject, coalesce(detail::json ->> 'serial', ''), coalesce(detail::json ->> 'not_after', '') "
    "FROM audit_event WHERE cluster_id = $1 AND at >= $2 AND (at, event_id) > ($2, $3) AND action = 'lsc.issue' "
    "AND outcome = 'done' ORDER BY at, event_id LIMIT $4"};
constexpr Statement kRecorded = {"audit_recorded_serials",
                                 "SELECT encode(serial, 'hex') FROM issuance WHERE cluster_id = $1 "
                                 "AND serial = ANY($2) AND certificate IS NOT NULL"};
constexpr Statement kPurged = {
    "audit_purged_ends",
    "SELECT DISTINCT e.seconds FROM unnest($2) AS e (seconds) WHERE EXISTS (SELECT FROM issuance_purge p "
    "WHERE p.cluster_id = $1 AND to_timestamp(e.seconds) BETWEEN p.first_not_after AND p.last_not_after)"};

struct IssueEvent {
  absl::Time at;
  int64_t id = 0;
  std::string device, serial;
  std::string not_after;  // to the second, as a certificate has it
};

absl::StatusOr<std::vector<IssueEvent>> ReadEvents(Connection& connection, int32_t cluster_id, absl::Time at,
                                                   int64_t after) {
  ASSIGN_OR_RETURN(
      const Result result,
      connection.Execute(kIssueEvents, Parameters().Int64(cluster_id).Time(at).Int64(after).Int64(kBatch)));
  std::vector<IssueEvent> events;
  for (const Row row : result) {
    IssueEvent& event = events.emplace_back();
    RETURN_IF_ERROR(row.Scan(event.at, event.id, event.device, event.serial, event.not_after));
  }
  return events;
}

absl::StatusOr<std::set<std::string>> FindRecorded(Connection& connection, int32_t cluster_id,
                                                   const std::vector<IssueEvent>& events) {
  std::vector<std::string> serials;
  for (const IssueEvent& event : events) {
    if (absl::StatusOr<std::string> serial = FromHex(event.serial); serial.ok()) serials.push_back(*std::move(serial));
  }
  ASSIGN_OR_RETURN(const Result result,
                   connection.Execute(kRecorded, Parameters().Int64(cluster_id).BytesArray(serials)));
  std::set<std::string> recorded;
  for (const Row row : result) {
    ASSIGN_OR_RETURN(std::string serial, row.Get<std::string>(0));
    recorded.insert(std::move(serial));
  }
  return recorded;
}

std::optional<int64_t> EndOf(const IssueEvent& event) {
  const absl::StatusOr<absl::Time> not_after = ParseTime(event.not_after, absl::UTCTimeZone());
  if (!not_after.ok()) return std::nullopt;
  return absl::ToUnixSeconds(*not_after);
}

// Those of the ends (in seconds since 1970) whose certificates a purge removed.
absl::StatusOr<std::set<int64_t>> FindPurgedEnds(Connection& connection, int32_t cluster_id,
                                                 const std::vector<IssueEvent>& missing) {
  std::vector<int64_t> ends;
  for (const IssueEvent& event : missing) {
    if (const std::optional<int64_t> end = EndOf(event)) ends.push_back(*end);
  }
  ASSIGN_OR_RETURN(const Result result, connection.Execute(kPurged, Parameters().Int64(cluster_id).Int64Array(ends)));
  std::set<int64_t> purged;
  for (const Row row : result) {
    ASSIGN_OR_RETURN(const int64_t seconds, row.Get<int64_t>(0));
    purged.insert(seconds);
  }
  return purged;
}

}  // namespace

absl::Status FindLostCertificates(Connection& connection, int32_t cluster_id, absl::Time since,
                                  const std::function<void(const LostCertificate&)>& found,
                                  const std::function<absl::Status()>& progress) {
  absl::Time at = since;
  int64_t after = 0;
  while (true) {
    ASSIGN_OR_RETURN(const std::vector<IssueEvent> events, ReadEvents(connection, cluster_id, at, after));
    if (events.empty()) return absl::OkStatus();
    at = events.back().at;
    after = events.back().id;
    ASSIGN_OR_RETURN(const std::set<std::string> recorded, FindRecorded(connection, cluster_id, events));
    std::vector<IssueEvent> missing;
    for (const IssueEvent& event : events) {
      if (!recorded.contains(event.serial)) missing.push_back(event);
    }
    if (!missing.empty()) {
      // Asked last: what is purged meanwhile has its record by now.
      ASSIGN_OR_RETURN(const std::set<int64_t> purged, FindPurgedEnds(connection, cluster_id, missing));
      for (const IssueEvent& event : missing) {
        const std::optional<int64_t> end = EndOf(event);
        if (!end || !purged.contains(*end)) found({.serial = event.serial, .device = event.device});
      }
    }
    RETURN_IF_ERROR(progress());
  }
}

}  // namespace trustline
