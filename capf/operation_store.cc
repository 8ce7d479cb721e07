#include "capf/operation_store.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "common/service/time_text.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr size_t kMaxDevices = 1000;

// Each device is looked up by itself, by its name: the planner, while it knows nothing of a young table, would rather
// read all of it. OFFSET 0 and FOR UPDATE keep it from that.
constexpr Statement kFindDevices = {
    "find_devices_to_schedule",
    "SELECT d.name, state, state_reason, coalesce(replaced_by, ''), $3 AND NOT EXISTS (SELECT FROM ("
    " SELECT state, not_after FROM issuance WHERE cluster_id = $1 AND device = d.name OFFSET 0) of_device "
    " WHERE state IN ('signed', 'delivered', 'confirmed') AND not_after > $4) "
    "FROM unnest($2::text[]) AS wanted (name) CROSS JOIN LATERAL ("
    " SELECT * FROM device WHERE cluster_id = $1 AND name = wanted.name OFFSET 0) d"};
constexpr Statement kLockOpen = {
    "lock_open_operations",
    "SELECT o.* FROM unnest($2::text[]) AS wanted (device) CROSS JOIN LATERAL ("
    " SELECT device, operation_id, coalesce(state = 'in progress' AND session_until > $3, false), started_at, "
    " coalesce(session_address, '') FROM capf_operation WHERE cluster_id = $1 AND device = wanted.device "
    " AND state IN ('pending', 'in progress') FOR UPDATE) o"};
constexpr Statement kEnd = {"cancel_operations",
                            "UPDATE capf_operation SET state = 'cancelled', reason = $3, ended_at = $4, "
                            "session_claim = NULL, session_until = NULL, " DISCARD_UNACKNOWLEDGED
                            " WHERE cluster_id = $1 AND operation_id = ANY($2)"};
// Without strings their arrays are empty, and unnest gives NULL. What somebody else scheduled meanwhile stays. In the
// order of LockOpen, because an insertion waits for another of the same device.
constexpr Statement kInsert = {
    "insert_operations",
    "INSERT INTO capf_operation (cluster_id, device, string_salt, string_hmac, operation, state, authentication, "
    "key_order, rsa_bits, curve, deadline, campaign_id, wave, scheduled_by, scheduled_at) "
    "SELECT $1, device, salt, hmac, $5, 'pending', $6, $7, $8, $9, $10, nullif($11, 0), nullif($12, 0), $13, $14 "
    "FROM unnest($2::text[], $3::bytea[], $4::bytea[]) AS wanted (device, salt, hmac) "
    "ORDER BY device COLLATE \"C\" ON CONFLICT (cluster_id, device) WHERE state IN ('pending', 'in progress') DO "
    "NOTHING "
    "RETURNING device, operation_id"};

constexpr Statement kUnknown = {"unknown_of_devices",
                                "SELECT name FROM unnest($2::text[]) AS wanted (name) WHERE NOT EXISTS ("
                                "SELECT FROM device WHERE cluster_id = $1 AND device.name = wanted.name)"};
constexpr Statement kLockNewest = {"lock_newest_operation",
                                   "SELECT " OPERATION_RECORD_COLUMNS
                                   " FROM capf_operation WHERE cluster_id = $1 AND device COLLATE \"C\" = $2 "
                                   "ORDER BY operation_id DESC LIMIT 1 FOR UPDATE"};
constexpr Statement kHasUsedString = {
    "has_used_string",
    "SELECT EXISTS (SELECT FROM capf_operation WHERE cluster_id = $1 AND device COLLATE \"C\" = $2 "
    "AND authentication = 'string' AND (string_used_at IS NOT NULL OR state IN ('failed', 'expired')))"};

std::string WhyOutOfService(std::string_view device, std::string_view state, std::string_view reason,
                            std::string_view replaced_by) {
  if (state == "replaced")
    return fmt::format("{} was replaced by {}: schedule for the new device", device, replaced_by);
  return fmt::format("{} is {} ({}): nothing is done for it any more", device, state, reason);
}

}  // namespace

// One device of an order.
struct OperationStore::Candidate {
  std::string device;
  std::string refusal = "";
  int64_t open_id = 0;  // the operation that is pending, and is not kept by a session
};

absl::Status OperationStore::LockOpen(std::vector<Candidate>& candidates, absl::Time now) {
  std::unordered_map<std::string_view, Candidate*> by_device;
  std::vector<std::string> devices;
  for (Candidate& candidate : candidates) {
    by_device[candidate.device] = &candidate;
    devices.push_back(candidate.device);
  }
  // Two orders for the same devices wait for each other and never both ways.
  std::ranges::sort(devices);
  ASSIGN_OR_RETURN(const Result locked,
                   connection_.Execute(kLockOpen, Parameters().Int64(cluster_id_).TextArray(devices).Time(now)));
  for (const Row row : locked) {
    std::string device, address;
    int64_t id = 0;
    bool is_running = false;
    std::optional<absl::Time> started_at;
    RETURN_IF_ERROR(row.Scan(device, id, is_running, started_at, address));
    Candidate& candidate = *by_device.at(device);
    if (!is_running) {
      candidate.open_id = id;
    } else if (candidate.refusal.empty()) {
      candidate.refusal = fmt::format("a session of {} from {} has been at work since {}: try again when it is over",
                                      device, address, TimeTextSeconds(started_at.value_or(now)));
    }
  }
  return absl::OkStatus();
}

absl::Status OperationStore::Judge(std::vector<Candidate>& candidates, const OperationOrder& order, absl::Time now) {
  const bool needs_certificate = order.operation != CapfOperation::kInstall;
  std::unordered_map<std::string_view, Candidate*> by_device;
  std::vector<std::string> devices;
  for (Candidate& candidate : candidates) {
    by_device[candidate.device] = &candidate;
    devices.push_back(candidate.device);
    candidate.refusal =
        fmt::format("there is no device {0} in this cluster: add it with `trustctl device add {0}`", candidate.device);
  }
  ASSIGN_OR_RETURN(
      const Result found,
      connection_.Execute(kFindDevices,
                          Parameters().Int64(cluster_id_).TextArray(devices).Bool(needs_certificate).Time(now)));
  for (const Row row : found) {
    std::string device, state, reason, replaced_by;
    bool lacks_certificate = false;
    RETURN_IF_ERROR(row.Scan(device, state, reason, replaced_by, lacks_certificate));
    std::string& refusal = by_device.at(device)->refusal;
    refusal.clear();
    if (state != "in service") {
      refusal = WhyOutOfService(device, state, reason, replaced_by);
    } else if (lacks_certificate) {
      refusal = fmt::format("{} has no certificate in force that it could {}", device,
                            order.operation == CapfOperation::kFetch ? "show" : "delete");
    }
  }
  return LockOpen(candidates, now);
}

absl::Status OperationStore::EndOpen(const std::vector<Candidate>& candidates, std::string_view reason,
                                     absl::Time now) {
  std::vector<int64_t> ids;
  for (const Candidate& candidate : candidates) {
    if (candidate.open_id != 0 && candidate.refusal.empty()) ids.push_back(candidate.open_id);
  }
  if (ids.empty()) return absl::OkStatus();
  return connection_.Execute(kEnd, Parameters().Int64(cluster_id_).Int64Array(ids).Text(reason).Time(now)).status();
}

absl::StatusOr<std::vector<ScheduledOperation>> OperationStore::Schedule(const OperationOrder& order,
                                                                         const std::vector<OrderedDevice>& devices,
                                                                         absl::Time now) {
  if (devices.size() > kMaxDevices) {
    return InvalidArgument("at most {} devices are scheduled at once, and here are {}", kMaxDevices, devices.size());
  }
  const bool by_string = order.authentication == EnrolmentAuthentication::kString;
  std::vector<Candidate> candidates;
  for (const OrderedDevice& ordered : devices) {
    if (ordered.kept.has_value() != by_string) {
      return Internal("{} was ordered {} an authentication string", ordered.device, by_string ? "without" : "with");
    }
    candidates.push_back({.device = ordered.device});
  }

  // 1. What stands in the way of each.
  RETURN_IF_ERROR(Judge(candidates, order, now));

  // 2. What is pending gives way.
  RETURN_IF_ERROR(EndOpen(candidates, "another operation was scheduled in its place", now));

  // 3. The operations.
  std::vector<std::string> names, salts, hmacs;
  for (size_t i = 0; i < devices.size(); ++i) {
    if (!candidates[i].refusal.empty()) continue;
    names.push_back(devices[i].device);
    if (!by_string) continue;
    salts.push_back(devices[i].kept->salt);
    hmacs.push_back(devices[i].kept->hmac);
  }
  std::unordered_map<std::string, int64_t> ids;
  if (!names.empty()) {
    ASSIGN_OR_RETURN(const Result inserted,
                     connection_.Execute(kInsert, Parameters()
                                                      .Int64(cluster_id_)
                                                      .TextArray(names)
                                                      .BytesArray(salts)
                                                      .BytesArray(hmacs)
                                                      .Text(CapfOperationName(order.operation))
                                                      .Text(EnrolmentAuthenticationName(order.authentication))
                                                      .Text(KeyOrderName(order.keys.order))
                                                      .Int64(order.keys.rsa_bits)
                                                      .Text(CapfCurveName(order.keys.curve))
                                                      .Time(order.deadline)
                                                      .Int64(order.campaign_id)
                                                      .Int64(order.wave)
                                                      .Text(order.scheduled_by)
                                                      .Time(now)));
    for (const Row row : inserted) {
      std::string device;
      int64_t id = 0;
      RETURN_IF_ERROR(row.Scan(device, id));
      ids.emplace(std::move(device), id);
    }
  }

  // 4. What became of each.
  std::vector<ScheduledOperation> results;
  for (Candidate& candidate : candidates) {
    ScheduledOperation& result = results.emplace_back();
    result.refusal = std::move(candidate.refusal);
    if (!result.refusal.empty()) continue;
    const auto id = ids.extract(candidate.device);
    if (id.empty()) {
      result.refusal =
          fmt::format("{} was scheduled by somebody else at this moment: look, and try again", candidate.device);
      continue;
    }
    result.operation_id = id.mapped();
    result.replaced = candidate.open_id != 0;
  }
  return results;
}

absl::StatusOr<std::vector<ScheduledOperation>> OperationStore::Cancel(const std::vector<std::string>& devices,
                                                                       std::string_view reason, absl::Time now) {
  if (devices.size() > kMaxDevices) {
    return InvalidArgument("at most {} operations are taken back at once, and here are {}", kMaxDevices,
                           devices.size());
  }
  std::vector<Candidate> candidates;
  for (const std::string& device : devices) candidates.push_back({.device = device});
  RETURN_IF_ERROR(LockOpen(candidates, now));
  RETURN_IF_ERROR(EndOpen(candidates, reason, now));
  ASSIGN_OR_RETURN(const Result unknown,
                   connection_.Execute(kUnknown, Parameters().Int64(cluster_id_).TextArray(devices)));
  for (const Row row : unknown) {
    std::string device;
    RETURN_IF_ERROR(row.Scan(device));
    const auto candidate = std::ranges::find(candidates, device, &Candidate::device);
    if (candidate->open_id == 0) candidate->refusal = fmt::format("there is no device {} in this cluster", device);
  }
  std::vector<ScheduledOperation> results;
  for (Candidate& candidate : candidates) {
    results.push_back({.operation_id = candidate.open_id, .refusal = std::move(candidate.refusal)});
  }
  return results;
}

absl::StatusOr<std::optional<OperationRecord>> OperationStore::LockNewest(std::string_view device) {
  std::optional<OperationRecord> newest;
  while (true) {
    ASSIGN_OR_RETURN(const Result found,
                     connection_.Execute(kLockNewest, Parameters().Int64(cluster_id_).Text(device)));
    if (found.empty()) return newest;
    ASSIGN_OR_RETURN(OperationRecord record, ReadOperationRecord(found[0]));
    // While this waited for one that was ended, its successor may have come, which only a new look shows.
    if (record.is_open() || (newest && newest->id == record.id)) return record;
    newest = std::move(record);
  }
}

absl::StatusOr<bool> OperationStore::HasUsedString(std::string_view device) {
  ASSIGN_OR_RETURN(const Result result,
                   connection_.Execute(kHasUsedString, Parameters().Int64(cluster_id_).Text(device)));
  return result.Value<bool>();
}

}  // namespace trustline
