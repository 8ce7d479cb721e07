#include "itl/plan/phones_behind.h"

#include <algorithm>
#include <set>
#include <unordered_set>
#include <vector>

#include "absl/strings/str_join.h"
#include "common/status/status.h"
#include "itl/phone/holding_view.h"
#include "itl/preflight/fleet_reader.h"
#include "itl/preflight/list_memory.h"
#include "itl/preflight/preflight.h"
#include "itl/preflight/world_reader.h"

namespace trustline {
namespace {

constexpr absl::Duration kRegistrationLife = absl::Hours(2);
constexpr size_t kNamed = 5;

constexpr Statement kRegistered = {
    "plan_registered_behind",
    "SELECT device FROM phone WHERE cluster_id = $1 AND registered AND registration_at > $2 AND (held_id = ANY($3) OR "
    "held_ctl_id = ANY($3))"};

// Of lists that this cluster made or took over. A CTL counts while there is one: else phones keep what they have.
std::set<int64_t> OlderHoldings(const HoldingViews& views) {
  std::set<int64_t> older;
  for (const auto& [holding_id, view] : views.all()) {
    const Holding& holding = view.holding;
    const bool is_ours = holding.list_id != 0 || holding.adopted_own;
    const bool is_served = holding.kind == ListKind::kItl || views.served().ctl;
    if (view.status == PhoneStatus::kMismatch && is_ours && is_served) older.insert(holding_id);
  }
  return older;
}

}  // namespace

absl::StatusOr<PhonesBehind> FindPhonesBehind(Connection& connection, int32_t cluster_id, KeyFolder& keys,
                                              absl::Time now) {
  // 1. Who is running and holds something older.
  ASSIGN_OR_RETURN(const HoldingViews views, HoldingViews::Read(connection, cluster_id));
  const std::set<int64_t> older = OlderHoldings(views);
  std::unordered_set<std::string> running;
  RETURN_IF_ERROR(connection.ForEachRow(kRegistered,
                                        Parameters()
                                            .Int64(cluster_id)
                                            .Time(now - kRegistrationLife)
                                            .Int64Array(std::vector<int64_t>(older.begin(), older.end())),
                                        [&](const Row& row) -> absl::Status {
                                          ASSIGN_OR_RETURN(std::string device, row.Get<std::string>(0));
                                          running.insert(std::move(device));
                                          return absl::OkStatus();
                                        }));
  PhonesBehind behind;
  if (running.empty()) return behind;

  // 2. Of those, whom a reset would help.
  ListMemory memory;
  ASSIGN_OR_RETURN(const TrustWorld world,
                   WorldReader(connection, cluster_id, memory, &keys).ReadPublished({.now = now}));
  FleetReader reader(connection, cluster_id, memory, now);
  ASSIGN_OR_RETURN(const Fleet fleet, reader.Read());
  const auto follows = [&](size_t group) {
    const PhoneFacts& facts = fleet.facts[group];
    return (older.contains(facts.itl) || older.contains(facts.ctl)) &&
           CureOf(fleet.groups[group], world) == PhoneCure::kReset;
  };
  std::vector<std::string> devices;
  RETURN_IF_ERROR(reader.Names(fleet, follows, [&](const std::string& device, size_t) {
    if (running.contains(device)) devices.push_back(device);
    return absl::OkStatus();
  }));
  behind.count = std::ssize(devices);
  std::sort(devices.begin(), devices.end());
  if (devices.size() > kNamed) devices.resize(kNamed);
  behind.first = absl::StrJoin(devices, ", ");
  return behind;
}

}  // namespace trustline
