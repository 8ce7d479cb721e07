// Campaigns as they stand in gRPC messages.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "capf/campaign_store.h"
#include "proto/enrolment.pb.h"

namespace trustline {

// `remaining` only where it was counted.
v1::Campaign ToProto(const CampaignRecord& campaign, std::optional<int64_t> remaining = std::nullopt);

// InvalidArgument for what no campaign can have; CampaignStore::Create judges the rest.
absl::StatusOr<CampaignOrder> ReadCampaignOrder(const v1::CreateCampaignRequest& request);

}  // namespace trustline
