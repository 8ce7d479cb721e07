#include "ca/issuance/delivery.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <unordered_map>
#include <utility>

#include "common/postgres/list_plan.h"
#include "common/service/audit.h"
#include "common/service/fail_point.h"
#include "common/status/status.h"

namespace trustline {
namespace {

// Of one whose state did not change.
absl::StatusOr<IssuanceRecord> AsItIs(IssuanceStore& store, int64_t issuance_id, IssuanceState wanted) {
  ASSIGN_OR_RETURN(IssuanceRecord record, store.Load(issuance_id));
  // Said again, or said late.
  if (record.state == IssuanceState::kConfirmed || record.state == wanted) return record;
  return FailedPrecondition("the certificate with serial number {} is {}: it cannot become {}",
                            ToHex(AsBytes(record.serial)), IssuanceStateName(record.state), IssuanceStateName(wanted));
}

}  // namespace

absl::StatusOr<Deliveries> RecordDeliveries(Connection& transaction, const AuthorityCaller& caller,
                                            std::span<const int64_t> issuances, IssuanceState state) {
  IssuanceStore store(transaction, caller.cluster_id);
  Deliveries deliveries;

  // 1. Those that come into the state now. In order, so that two transactions wait for each other one way only.
  std::vector<int64_t> ids(issuances.begin(), issuances.end());
  std::ranges::sort(ids);
  transaction.ExecuteWithNext(kOnePlanForLists);
  ASSIGN_OR_RETURN(std::vector<IssuanceRecord> advanced, store.Advance(ids, state));
  if (advanced.size() < ids.size()) {
    // One that another transaction was changing is passed over, and is locked by now.
    ASSIGN_OR_RETURN(std::vector<IssuanceRecord> late, store.Advance(ids, state));
    std::ranges::move(late, std::back_inserter(advanced));
  }
  FailPoint("delivering");
  std::unordered_map<int64_t, IssuanceRecord> records;
  std::vector<DeviceIssuance> acknowledged;
  for (IssuanceRecord& record : advanced) {
    RETURN_IF_ERROR(AppendAudit(
        transaction, {.cluster_id = caller.cluster_id,
                      .actor = caller.actor,
                      .action = fmt::format("lsc.{}", state == IssuanceState::kConfirmed ? "confirm" : "deliver"),
                      .subject = record.device,
                      .detail = {{"serial", ToHex(AsBytes(record.serial))}}}));
    acknowledged.push_back({record.device, record.id});
    records.emplace(record.id, std::move(record));
  }

  // 2. What the device has no more.
  if (state == IssuanceState::kConfirmed && !acknowledged.empty()) {
    ASSIGN_OR_RETURN(deliveries.superseded, Revoker(transaction, caller).RevokeReplaced(acknowledged));
  }

  // 3. What is true of each.
  for (const int64_t issuance_id : issuances) {
    const auto found = records.find(issuance_id);
    if (found != records.end()) {
      deliveries.outcomes.emplace_back(found->second);
      continue;
    }
    absl::StatusOr<IssuanceRecord> record = AsItIs(store, issuance_id, state);
    if (!record.ok() && !absl::IsNotFound(record.status()) && !absl::IsFailedPrecondition(record.status())) {
      return record.status();
    }
    deliveries.outcomes.push_back(std::move(record));
  }
  return deliveries;
}

}  // namespace trustline
