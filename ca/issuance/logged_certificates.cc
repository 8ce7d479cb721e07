#include "ca/issuance/logged_certificates.h"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/bytes/bytes.h"
#include "common/service/time_text.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr int kBatch = 500;

// In the order of the log's key.
constexpr Statement kEvents = {
    "audit_logged_certificates",
    "SELECT at, event_id, action = 'lsc.revoke', subject, coalesce(detail::json ->> 'serial', ''), "
    "coalesce(detail::json ->> 'not_after', '') "
    "FROM audit_event WHERE cluster_id = $1 AND at >= $2 AND (at, event_id) > ($2, $3) "
    "AND action IN ('lsc.issue', 'lsc.revoke') AND outcome = 'done' ORDER BY at, event_id LIMIT $4"};
constexpr Statement kRecorded = {"audit_recorded_serials",
                                 "SELECT encode(serial, 'hex'), state = 'revoked' FROM issuance WHERE cluster_id = $1 "
                                 "AND serial = ANY($2) AND certificate IS NOT NULL"};
constexpr Statement kPurged = {
    "audit_purged_ends",
    "SELECT DISTINCT e.seconds FROM unnest($2) AS e (seconds) WHERE EXISTS (SELECT FROM issuance_purge p "
    "WHERE p.cluster_id = $1 AND to_timestamp(e.seconds) BETWEEN p.first_not_after AND p.last_not_after)"};

struct LoggedCertificate {
  absl::Time at;
  int64_t id = 0;
  bool is_revocation = false;
  std::string device, serial;
  std::string not_after;  // to the second, as a certificate has it
};

absl::StatusOr<std::vector<LoggedCertificate>> ReadEvents(Connection& connection, int32_t cluster_id, absl::Time at,
                                                          int64_t after) {
  ASSIGN_OR_RETURN(const Result result,
                   connection.Execute(kEvents, Parameters().Int64(cluster_id).Time(at).Int64(after).Int64(kBatch)));
  std::vector<LoggedCertificate> events;
  for (const Row row : result) {
    LoggedCertificate& event = events.emplace_back();
    RETURN_IF_ERROR(row.Scan(event.at, event.id, event.is_revocation, event.device, event.serial, event.not_after));
  }
  return events;
}

// Serial numbers that are on record, and whether as revoked.
absl::StatusOr<std::map<std::string, bool>> FindRecorded(Connection& connection, int32_t cluster_id,
                                                         const std::vector<LoggedCertificate>& events) {
  std::vector<std::string> serials;
  for (const LoggedCertificate& event : events) {
    if (absl::StatusOr<std::string> serial = FromHex(event.serial); serial.ok()) serials.push_back(*std::move(serial));
  }
  ASSIGN_OR_RETURN(const Result result,
                   connection.Execute(kRecorded, Parameters().Int64(cluster_id).BytesArray(serials)));
  std::map<std::string, bool> recorded;
  for (const Row row : result) {
    std::string serial;
    bool revoked = false;
    RETURN_IF_ERROR(row.Scan(serial, revoked));
    recorded.emplace(std::move(serial), revoked);
  }
  return recorded;
}

std::optional<int64_t> EndOf(const LoggedCertificate& event) {
  const absl::StatusOr<absl::Time> not_after = ParseTime(event.not_after, absl::UTCTimeZone());
  if (!not_after.ok()) return std::nullopt;
  return absl::ToUnixSeconds(*not_after);
}

// Those of the ends (in seconds since 1970) whose certificates a purge removed.
absl::StatusOr<std::set<int64_t>> FindPurgedEnds(Connection& connection, int32_t cluster_id,
                                                 const std::vector<LoggedCertificate>& missing) {
  std::vector<int64_t> ends;
  for (const LoggedCertificate& event : missing) {
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

absl::Status CompareWithAuditLog(Connection& connection, int32_t cluster_id, absl::Time since,
                                 const std::function<void(std::string_view)>& found,
                                 const std::function<absl::Status()>& progress) {
  absl::Time at = since;
  int64_t after = 0;
  while (true) {
    ASSIGN_OR_RETURN(const std::vector<LoggedCertificate> events, ReadEvents(connection, cluster_id, at, after));
    if (events.empty()) return absl::OkStatus();
    at = events.back().at;
    after = events.back().id;
    ASSIGN_OR_RETURN(const auto recorded, FindRecorded(connection, cluster_id, events));
    std::vector<LoggedCertificate> missing;
    for (const LoggedCertificate& event : events) {
      const auto row = recorded.find(event.serial);
      if (row == recorded.end()) {
        if (!event.is_revocation) missing.push_back(event);
      } else if (event.is_revocation && !row->second) {
        found(fmt::format("certificate {} of {}: the audit log tells of its revocation, but it is on record as good",
                          event.serial, event.device));
      }
    }
    if (!missing.empty()) {
      // Asked last: what is purged meanwhile has its record by now.
      ASSIGN_OR_RETURN(const std::set<int64_t> purged, FindPurgedEnds(connection, cluster_id, missing));
      for (const LoggedCertificate& event : missing) {
        const std::optional<int64_t> end = EndOf(event);
        if (end && purged.contains(*end)) continue;
        found(fmt::format("the audit log tells of certificate {} of {}, which is not on record", event.serial,
                          event.device));
      }
    }
    RETURN_IF_ERROR(progress());
  }
}

}  // namespace trustline
