#include "capf/string_lockout.h"

#include "common/net/ip_address.h"
#include "common/status/status.h"

namespace trustline {
namespace {

std::string HostOf(std::string_view address) {
  const absl::StatusOr<IpAddress> parsed = IpAddress::Parse(address);
  return parsed.ok() ? parsed->HostPrefix().ToText() : std::string(address);
}

}  // namespace

StringLockout::StringLockout(Connection& transaction, int32_t cluster_id, std::string_view device,
                             std::string_view address)
    : connection_(transaction), cluster_id_(cluster_id), device_(device), address_(HostOf(address)) {}

absl::StatusOr<bool> StringLockout::IsLocked(absl::Time now) {
  static constexpr Statement kIsLocked = {"is_pair_locked",
                                          "SELECT EXISTS (SELECT FROM capf_lockout WHERE cluster_id = $1 "
                                          "AND device = $2 AND address = $3 AND locked_until > $4)"};
  ASSIGN_OR_RETURN(
      const Result result,
      connection_.Execute(kIsLocked, Parameters().Int64(cluster_id_).Text(device_).Text(address_).Time(now)));
  return result.Value<bool>();
}

absl::StatusOr<bool> StringLockout::CountWrong(absl::Time now) {
  static constexpr Statement kCount = {
      "count_wrong_string_of_pair",
      "INSERT INTO capf_lockout AS old (cluster_id, device, address, wrong_strings, last_wrong_at) "
      "VALUES ($1, $2, $3, 1, $4) ON CONFLICT (cluster_id, device, address) DO UPDATE SET "
      "wrong_strings = CASE WHEN old.last_wrong_at > $5 THEN old.wrong_strings + 1 ELSE 1 END, "
      "last_wrong_at = $4, locked_until = NULL RETURNING wrong_strings"};
  static constexpr Statement kLock = {
      "lock_pair", "UPDATE capf_lockout SET locked_until = $4 WHERE cluster_id = $1 AND device = $2 AND address = $3"};
  ASSIGN_OR_RETURN(
      const Result counted,
      connection_.Execute(
          kCount, Parameters().Int64(cluster_id_).Text(device_).Text(address_).Time(now).Time(now - kLockTime)));
  ASSIGN_OR_RETURN(const int32_t wrong_strings, counted.Value<int32_t>());
  if (wrong_strings < kMostWrongStringsOfPair) return false;
  RETURN_IF_ERROR(
      connection_.Execute(kLock, Parameters().Int64(cluster_id_).Text(device_).Text(address_).Time(now + kLockTime))
          .status());
  return true;
}

}  // namespace trustline
