// Which devices a campaign has still to schedule.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "capf/campaign_store.h"
#include "common/postgres/connection.h"

namespace trustline {

// Devices in service whose certificate ends before the campaign's time and is of its authority, where it has these,
// which have no open operation, or one that cad has not heard of yet, and had none of this campaign. A device's
// certificate is the newest in force that it has acknowledged; the newest in force where it acknowledged none. Those
// whose certificate ends first, at most `limit`.
absl::StatusOr<std::vector<std::string>> FindCampaignDevices(Connection& connection, int32_t cluster_id,
                                                             const CampaignRecord& campaign, int32_t limit,
                                                             absl::Time now);
absl::StatusOr<int64_t> CountCampaignDevices(Connection& connection, int32_t cluster_id, const CampaignRecord& campaign,
                                             absl::Time now);

}  // namespace trustline
