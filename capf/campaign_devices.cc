#include "capf/campaign_devices.h"

#include "common/status/status.h"

namespace trustline {
namespace {

// $1 the cluster, $2 the campaign, $3 now. What is to be known of a device is looked up by the device (OFFSET 0 keeps
// it so): the planner, while it knows nothing of a young table, would go through all certificates for each.
// What a device has acknowledged outweighs what is newer: whether it has that is unknown.
constexpr char kDevices[] =
    " FROM issuance i WHERE i.cluster_id = $1 AND i.state IN ('signed', 'delivered', 'confirmed') "
    "AND i.not_after > $3 AND NOT EXISTS (SELECT FROM (SELECT n.issuance_id, n.state, n.not_after FROM issuance n "
    " WHERE n.cluster_id = $1 AND n.device = i.device OFFSET 0) of_device "
    " WHERE of_device.state IN ('signed', 'delivered', 'confirmed') AND of_device.not_after > $3 "
    " AND (of_device.state = 'confirmed', of_device.issuance_id) > (i.state = 'confirmed', i.issuance_id)) "
    "AND (SELECT d.state FROM device d WHERE d.cluster_id = $1 AND d.name = i.device) = 'in service' "
    "AND NOT EXISTS (SELECT FROM (SELECT o.state, o.campaign_id, o.unsettled FROM capf_operation o "
    " WHERE o.cluster_id = $1 AND o.device COLLATE \"C\" = i.device OFFSET 0) operation "
    " WHERE state IN ('pending', 'in progress') OR campaign_id = $2 OR unsettled IS NOT NULL)";

absl::StatusOr<Result> Run(Connection& connection, int32_t cluster_id, const CampaignRecord& campaign, absl::Time now,
                           std::string_view columns, std::string_view order) {
  // Not prepared: each set of conditions has a plan of its own.
  std::string sql = fmt::format("SELECT {}{}", columns, kDevices);
  Parameters parameters;
  parameters.Int64(cluster_id).Int64(campaign.id).Time(now);
  if (campaign.expires_before) {
    parameters.Time(*campaign.expires_before);
    sql += fmt::format(" AND i.not_after < ${}", parameters.size());
  }
  if (campaign.authority_id != 0) {
    parameters.Int64(campaign.authority_id);
    sql += fmt::format(" AND i.authority_id = ${}", parameters.size());
  }
  sql += order;
  return connection.Execute(sql.c_str(), parameters);
}

}  // namespace

absl::StatusOr<std::vector<std::string>> FindCampaignDevices(Connection& connection, int32_t cluster_id,
                                                             const CampaignRecord& campaign, int32_t limit,
                                                             absl::Time now) {
  ASSIGN_OR_RETURN(const Result result,
                   Run(connection, cluster_id, campaign, now, "i.device",
                       fmt::format(" ORDER BY i.not_after, i.device COLLATE \"C\" LIMIT {}", limit)));
  std::vector<std::string> devices;
  for (const Row row : result) RETURN_IF_ERROR(row.Scan(devices.emplace_back()));
  return devices;
}

absl::StatusOr<int64_t> CountCampaignDevices(Connection& connection, int32_t cluster_id, const CampaignRecord& campaign,
                                             absl::Time now) {
  ASSIGN_OR_RETURN(const Result result, Run(connection, cluster_id, campaign, now, "count(*)", ""));
  return result.Value<int64_t>();
}

}  // namespace trustline
