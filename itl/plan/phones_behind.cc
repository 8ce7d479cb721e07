#include "itl/plan/phones_behind.h"

#include <vector>

#include "absl/strings/str_join.h"
#include "common/status/status.h"
#include "itl/phone/holding_view.h"

namespace trustline {
namespace {

constexpr absl::Duration kRegistrationLife = absl::Hours(2);

constexpr Statement kBehind = {
    "plan_phones_behind",
    "SELECT p.device, count(*) OVER () FROM phone p LEFT JOIN model_without_lists w ON w.cluster_id = p.cluster_id AND "
    "w.model = p.model WHERE p.cluster_id = $1 AND p.registered AND p.registration_at > $2 AND w.model IS NULL AND "
    "(p.held_id = ANY($3) OR p.held_ctl_id = ANY($3)) ORDER BY p.device LIMIT 5"};

}  // namespace

absl::StatusOr<PhonesBehind> FindPhonesBehind(Connection& connection, int32_t cluster_id, absl::Time now) {
  ASSIGN_OR_RETURN(const HoldingViews views, HoldingViews::Read(connection, cluster_id));
  std::vector<int64_t> older;
  for (const auto& [holding_id, view] : views.all()) {
    if (view.status == PhoneStatus::kMismatch) older.push_back(holding_id);
  }
  PhonesBehind behind;
  if (older.empty()) return behind;
  ASSIGN_OR_RETURN(
      const Result rows,
      connection.Execute(kBehind, Parameters().Int64(cluster_id).Time(now - kRegistrationLife).Int64Array(older)));
  std::vector<std::string> first;
  for (const Row row : rows) RETURN_IF_ERROR(row.Scan(first.emplace_back(), behind.count));
  behind.first = absl::StrJoin(first, ", ");
  return behind;
}

}  // namespace trustline
