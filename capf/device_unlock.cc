#include "capf/device_unlock.h"

#include <optional>
#include <string>

#include "common/service/audit.h"
#include "common/status/status.h"

namespace trustline {

absl::StatusOr<int32_t> UnlockDevice(Connection& transaction, const EnrolmentCaller& caller, std::string_view device,
                                     absl::Time now) {
  static constexpr Statement kForget = {
      "forget_wrong_strings",
      "DELETE FROM capf_lockout WHERE cluster_id = $1 AND device = $2 RETURNING coalesce(locked_until > $3, false)"};
  static constexpr Statement kIsKnown = {"is_device_known",
                                         "SELECT EXISTS (SELECT FROM device WHERE cluster_id = $1 AND name = $2)"};
  ASSIGN_OR_RETURN(const Result forgotten,
                   transaction.Execute(kForget, Parameters().Int64(caller.cluster_id).Text(device).Time(now)));
  if (forgotten.empty()) {
    ASSIGN_OR_RETURN(const Result found,
                     transaction.Execute(kIsKnown, Parameters().Int64(caller.cluster_id).Text(device)));
    ASSIGN_OR_RETURN(const bool is_known, found.Value<bool>());
    if (!is_known) return NotFound("there is no device {} in this cluster: see `trustctl device list`", device);
    return 0;
  }
  int32_t locks = 0;
  for (const Row row : forgotten) {
    ASSIGN_OR_RETURN(const bool was_locked, row.Get<bool>(0));
    locks += was_locked ? 1 : 0;
  }
  RETURN_IF_ERROR(AppendAudit(transaction, {.cluster_id = caller.cluster_id,
                                            .actor = caller.actor,
                                            .action = "capf.unlock",
                                            .subject = std::string(device),
                                            .detail = {{"addresses", fmt::format("{}", forgotten.rows())},
                                                       {"locks", fmt::format("{}", locks)}}}));
  return locks;
}

}  // namespace trustline
