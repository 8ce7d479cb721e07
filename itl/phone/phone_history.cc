#include "itl/phone/phone_history.h"

#include <utility>

#include "common/status/status.h"

namespace trustline {
namespace {

constexpr Statement kLedger = {"phone_ledger",
                               "SELECT holding_id::bigint, nullif(sha1, ''::bytea), how, first_at, last_at FROM "
                               "phone_held WHERE cluster_id = $1 AND "
                               "device = $2 ORDER BY last_at DESC, holding_id DESC"};
constexpr Statement kEvents = {"phone_events",
                               "SELECT at, event_id, event, holding_id::bigint, itl_sha1, address, via FROM "
                               "phone_history WHERE cluster_id = $1 AND "
                               "device = $2 AND (at, event_id) < ($3, $4) ORDER BY at DESC, event_id DESC LIMIT $5"};
// Of each holding what was recorded last before the first moment, and all that came after.
constexpr Statement kAdoption = {"phone_adoption",
                                 "(SELECT DISTINCT ON (holding_id) at, holding_id::bigint, phones FROM phone_adoption "
                                 "WHERE cluster_id = $1 AND at <= "
                                 "$2 ORDER BY holding_id, at DESC) UNION ALL SELECT at, holding_id, phones FROM "
                                 "phone_adoption WHERE cluster_id = $1 "
                                 "AND at > $2 AND at <= $3 ORDER BY at"};

}  // namespace

absl::StatusOr<std::vector<HeldEntry>> PhoneHistory::Ledger(const std::string& device) {
  ASSIGN_OR_RETURN(const Result rows, connection_.Execute(kLedger, Parameters().Int64(cluster_id_).Text(device)));
  std::vector<HeldEntry> entries;
  for (const Row row : rows) {
    HeldEntry entry;
    RETURN_IF_ERROR(row.Scan(entry.holding_id, entry.sha1, entry.how, entry.first_at, entry.last_at));
    entries.push_back(std::move(entry));
  }
  return entries;
}

absl::StatusOr<std::vector<PastEvent>> PhoneHistory::Events(const std::string& device, const Position& before,
                                                            int64_t limit) {
  ASSIGN_OR_RETURN(
      const Result rows,
      connection_.Execute(
          kEvents, Parameters().Int64(cluster_id_).Text(device).Time(before.at).Int64(before.event_id).Int64(limit)));
  std::vector<PastEvent> events;
  for (const Row row : rows) {
    PastEvent event;
    RETURN_IF_ERROR(
        row.Scan(event.at, event.event_id, event.event, event.holding_id, event.itl_sha1, event.address, event.via));
    events.push_back(std::move(event));
  }
  return events;
}

absl::StatusOr<std::vector<AdoptionPoint>> PhoneHistory::Adoption(absl::Time since, absl::Time now, int points) {
  std::vector<AdoptionPoint> curve;
  std::map<int64_t, int64_t> present;
  int next = 0;
  const auto moment = [&](int point) {
    return point == points - 1 ? now : since + (now - since) * point / (points - 1);
  };
  const auto close_until = [&](absl::Time at) {
    while (next < points && moment(next) < at) curve.push_back({moment(next++), present});
  };
  RETURN_IF_ERROR(connection_.ForEachRow(kAdoption, Parameters().Int64(cluster_id_).Time(since).Time(now),
                                         [&](const Row& row) -> absl::Status {
                                           absl::Time at;
                                           int64_t holding_id = 0, phones = 0;
                                           RETURN_IF_ERROR(row.Scan(at, holding_id, phones));
                                           close_until(at);
                                           if (phones == 0) {
                                             present.erase(holding_id);
                                           } else {
                                             present[holding_id] = phones;
                                           }
                                           return absl::OkStatus();
                                         }));
  close_until(absl::InfiniteFuture());
  return curve;
}

}  // namespace trustline
