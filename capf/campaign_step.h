// What is to be done next for a running campaign.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/postgres/connection.h"

namespace trustline {

// What was done.
struct CampaignStep {
  enum class Kind : uint8_t { kNothing, kWaveBegun, kPaused, kFinished } kind = Kind::kNothing;
  std::string reason;   // of kPaused
  int32_t wave = 0;     // of kWaveBegun: its number, from 1 on
  int64_t devices = 0;  // that were scheduled
  int64_t refused = 0;  // of kWaveBegun and kNothing: devices that could not be scheduled
  std::string refusal;  // of the first of them, in words
};

// One step of a campaign, in a transaction that the caller owns and commits: it pauses when too many operations ended
// without success; else, within its hours and when the last wave has ended entirely, begins the next wave or, without
// any device left, finishes. Does nothing for a campaign that does not run (any more), and while another capfd takes a
// step in the same cluster. Audits in the name of `actor`. Aborted, without words for anybody, when devices got another
// operation meanwhile: try again.
//
// Too many are stop_at_failures of 100 that ended, once the wave has ended or 20 operations (fewer in smaller waves)
// have. They are counted from the last pause for this reason on, and over no more than the newest waves, the present
// one and as many before it as have 1,000 devices: a campaign that went well for 100,000 devices must not take
// thousands of failures for few.
absl::StatusOr<CampaignStep> AdvanceCampaign(Connection& transaction, int32_t cluster_id, int32_t campaign_id,
                                             std::string_view actor, absl::Time now);

}  // namespace trustline
