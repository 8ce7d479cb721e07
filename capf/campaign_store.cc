#include "capf/campaign_store.h"

#include <algorithm>
#include <iterator>
#include <map>

#include "capf/campaign_devices.h"
#include "capf/enrolment_policy.h"
#include "common/service/audit.h"
#include "common/service/time_text.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr std::string_view kStateNames[] = {"created", "running", "paused", "finished"};

constexpr int32_t kLargestWave = 100'000;
constexpr absl::Duration kLongestOutlook = absl::Hours(24 * 3650);
constexpr absl::Duration kShortestOperation = absl::Minutes(1);
constexpr absl::Duration kLongestOperation = absl::Hours(24 * 30);

constexpr Statement kHasAuthority = {
    "campaign_authority", "SELECT EXISTS (SELECT FROM ca_authority WHERE cluster_id = $1 AND authority_id = $2)"};
constexpr Statement kInsert = {
    "campaign_insert",
    "INSERT INTO capf_campaign AS c (cluster_id, state, expires_before, authority_id, authentication, key_order, "
    "rsa_bits, curve, wave_size, from_minute, until_minute, stop_at_failures, operation_seconds, created_by, "
    "created_at, changed_at) VALUES ($1, 'created', $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14) "
    "RETURNING " CAMPAIGN_COLUMNS};
constexpr Statement kList = {"campaign_list", "SELECT " CAMPAIGN_COLUMNS
                                              " FROM capf_campaign c WHERE cluster_id = $1 ORDER BY campaign_id DESC"};
constexpr Statement kLoad = {
    "campaign_load", "SELECT " CAMPAIGN_COLUMNS " FROM capf_campaign c WHERE cluster_id = $1 AND campaign_id = $2"};
// Operations that are scheduled refer to the row, and need not wait for this.
constexpr Statement kLock = {"campaign_lock", "SELECT " CAMPAIGN_COLUMNS
                                              " FROM capf_campaign c WHERE cluster_id = $1 AND campaign_id = $2 "
                                              "FOR NO KEY UPDATE"};
constexpr Statement kSetState = {"campaign_set_state",
                                 "UPDATE capf_campaign SET state = $3, state_reason = $4, changed_at = $5 WHERE "
                                 "cluster_id = $1 AND campaign_id = $2"};

#define OPERATION_COUNTS                                                                       \
  "campaign_id, count(*) FILTER (WHERE state = 'pending'), "                                   \
  "count(*) FILTER (WHERE state = 'in progress'), count(*) FILTER (WHERE state = 'success'), " \
  "count(*) FILTER (WHERE state = 'failed'), count(*) FILTER (WHERE state = 'expired'), "      \
  "count(*) FILTER (WHERE state = 'cancelled') "                                               \
  "FROM capf_operation WHERE cluster_id = $1 AND campaign_id "
constexpr Statement kCountAll = {"campaign_count_all", "SELECT " OPERATION_COUNTS "IS NOT NULL GROUP BY campaign_id"};
constexpr Statement kCountOne = {"campaign_count_one", "SELECT " OPERATION_COUNTS "= $2 GROUP BY campaign_id"};
#undef OPERATION_COUNTS

absl::StatusOr<CampaignState> ParseCampaignState(std::string_view word) {
  const auto found = std::ranges::find(kStateNames, word);
  if (found == std::end(kStateNames)) return Internal("\"{}\" is no state of a campaign", word);
  return static_cast<CampaignState>(found - std::begin(kStateNames));
}

absl::Status CheckOrder(const CampaignOrder& order) {
  if (!order.expires_within && order.authority_id == 0) {
    return InvalidArgument(
        "a campaign needs a condition: certificates that end within a time, or those of an authority, or both");
  }
  if (order.expires_within &&
      (*order.expires_within <= absl::ZeroDuration() || *order.expires_within > kLongestOutlook)) {
    return InvalidArgument("the time within which certificates end is more than nothing and at most {}, not {}",
                           DurationText(kLongestOutlook), absl::FormatDuration(*order.expires_within));
  }
  if (order.authentication == EnrolmentAuthentication::kString) {
    return InvalidArgument("a campaign has no authentication strings: nobody would be shown them");
  }
  if (order.keys.rsa_bits != 2048 && order.keys.rsa_bits != 3072 && order.keys.rsa_bits != 4096) {
    return InvalidArgument("RSA keys have 2048, 3072 or 4096 bits, not {}", order.keys.rsa_bits);
  }
  if (order.wave_size < 1 || order.wave_size > kLargestWave) {
    return InvalidArgument("a wave has 1 to {} devices, not {}", kLargestWave, order.wave_size);
  }
  if (order.stop_at_failures < 0 || order.stop_at_failures > 100) {
    return InvalidArgument("failures stop a campaign at 1 to 100 per cent, or never (0), not at {}",
                           order.stop_at_failures);
  }
  if (order.operation_time < kShortestOperation || order.operation_time > kLongestOperation) {
    return InvalidArgument("devices have from {} to {} for their operation, not {}", DurationText(kShortestOperation),
                           DurationText(kLongestOperation), absl::FormatDuration(order.operation_time));
  }
  return absl::OkStatus();
}

std::string Subject(int32_t id) { return fmt::format("campaign {}", id); }

absl::Status AuditCreation(Connection& connection, int32_t cluster_id, const CampaignRecord& campaign) {
  AuditEvent event = {.cluster_id = cluster_id,
                      .actor = campaign.created_by,
                      .action = "capf.campaign.create",
                      .subject = Subject(campaign.id)};
  if (campaign.expires_before) event.detail.emplace_back("expires_before", TimeTextSeconds(*campaign.expires_before));
  if (campaign.authority_id != 0) event.detail.emplace_back("authority", std::to_string(campaign.authority_id));
  event.detail.emplace_back("authentication", EnrolmentAuthenticationName(campaign.authentication));
  event.detail.emplace_back("key", KeyPlanText(campaign.keys));
  event.detail.emplace_back("wave_size", std::to_string(campaign.wave_size));
  event.detail.emplace_back("hours", campaign.hours.ToText().empty() ? "always" : campaign.hours.ToText());
  event.detail.emplace_back("stop_at_failures", std::to_string(campaign.stop_at_failures));
  event.detail.emplace_back("operation_time", DurationText(campaign.operation_time));
  return AppendAudit(connection, event);
}

absl::StatusOr<std::map<int32_t, CampaignCounts>> ReadCounts(const absl::StatusOr<Result>& result) {
  RETURN_IF_ERROR(result.status());
  std::map<int32_t, CampaignCounts> all;
  for (const Row row : *result) {
    int32_t id = 0;
    CampaignCounts counts;
    RETURN_IF_ERROR(row.Scan(id, counts.pending, counts.in_progress, counts.success, counts.failed, counts.expired,
                             counts.cancelled));
    all[id] = counts;
  }
  return all;
}

}  // namespace

std::string_view CampaignStateName(CampaignState state) { return kStateNames[static_cast<size_t>(state)]; }

absl::StatusOr<CampaignRecord> ReadCampaign(const Row& row) {
  CampaignRecord campaign;
  std::string state, authentication, key_order, curve;
  std::optional<int32_t> authority_id;
  int32_t from_minute = 0, until_minute = 0;
  int64_t operation_seconds = 0;
  RETURN_IF_ERROR(row.Scan(campaign.id, state, campaign.state_reason, campaign.expires_before, authority_id,
                           authentication, key_order, campaign.keys.rsa_bits, curve, campaign.wave_size, from_minute,
                           until_minute, campaign.stop_at_failures, operation_seconds, campaign.waves,
                           campaign.forgiven_waves, campaign.created_by, campaign.created_at));
  ASSIGN_OR_RETURN(campaign.state, ParseCampaignState(state));
  campaign.authority_id = authority_id.value_or(0);
  ASSIGN_OR_RETURN(campaign.authentication, ParseEnrolmentAuthentication(authentication));
  ASSIGN_OR_RETURN(campaign.keys.order, ParseKeyOrder(key_order));
  ASSIGN_OR_RETURN(campaign.keys.curve, ParseCapfCurve(curve));
  ASSIGN_OR_RETURN(campaign.hours, HoursOfDay::Create(from_minute, until_minute));
  campaign.operation_time = absl::Seconds(operation_seconds);
  return campaign;
}

absl::StatusOr<CampaignRecord> CampaignStore::Create(const CampaignOrder& order, std::string_view actor,
                                                     absl::Time now) {
  RETURN_IF_ERROR(CheckOrder(order));
  std::optional<int64_t> authority_id;
  if (order.authority_id != 0) {
    authority_id = order.authority_id;
    ASSIGN_OR_RETURN(const Result result,
                     connection_.Execute(kHasAuthority, Parameters().Int64(cluster_id_).Int64(authority_id)));
    ASSIGN_OR_RETURN(const bool exists, result.Value<bool>());
    if (!exists) return NotFound("there is no authority {} in this cluster: see `trustctl ca list`", *authority_id);
  }
  std::optional<absl::Time> expires_before;
  if (order.expires_within) expires_before = now + *order.expires_within;
  ASSIGN_OR_RETURN(const Result result,
                   connection_.Execute(kInsert, Parameters()
                                                    .Int64(cluster_id_)
                                                    .Time(expires_before)
                                                    .Int64(authority_id)
                                                    .Text(EnrolmentAuthenticationName(order.authentication))
                                                    .Text(KeyOrderName(order.keys.order))
                                                    .Int64(order.keys.rsa_bits)
                                                    .Text(CapfCurveName(order.keys.curve))
                                                    .Int64(order.wave_size)
                                                    .Int64(order.hours.from_minute())
                                                    .Int64(order.hours.until_minute())
                                                    .Int64(order.stop_at_failures)
                                                    .Int64(absl::ToInt64Seconds(order.operation_time))
                                                    .Text(actor)
                                                    .Time(now)));
  ASSIGN_OR_RETURN(CampaignRecord campaign, ReadCampaign(result[0]));
  RETURN_IF_ERROR(AuditCreation(connection_, cluster_id_, campaign));
  return campaign;
}

absl::StatusOr<CampaignRecord> CampaignStore::Start(int32_t id, std::string_view actor, absl::Time now) {
  ASSIGN_OR_RETURN(const CampaignRecord campaign, Read(kLock, id));
  if (campaign.state == CampaignState::kRunning) return FailedPrecondition("campaign {} is running already", id);
  if (campaign.state == CampaignState::kFinished) {
    return FailedPrecondition("campaign {} is finished: create another one for the devices that are left", id);
  }
  RETURN_IF_ERROR(SetState(id, CampaignState::kRunning, "", now));
  RETURN_IF_ERROR(AppendAudit(connection_, {.cluster_id = cluster_id_,
                                            .actor = std::string(actor),
                                            .action = "capf.campaign.start",
                                            .subject = Subject(id),
                                            .detail = {{"was", std::string(CampaignStateName(campaign.state))}}}));
  return Load(id);
}

absl::StatusOr<CampaignRecord> CampaignStore::Pause(int32_t id, std::string_view actor, absl::Time now) {
  ASSIGN_OR_RETURN(const CampaignRecord campaign, Read(kLock, id));
  if (campaign.state != CampaignState::kRunning) {
    return FailedPrecondition("campaign {} is {}: a running one can be paused", id, CampaignStateName(campaign.state));
  }
  const std::string reason = fmt::format("by {}", actor);
  RETURN_IF_ERROR(SetState(id, CampaignState::kPaused, reason, now));
  RETURN_IF_ERROR(AppendAudit(connection_, {.cluster_id = cluster_id_,
                                            .actor = std::string(actor),
                                            .action = "capf.campaign.pause",
                                            .subject = Subject(id),
                                            .detail = {{"waves", std::to_string(campaign.waves)}}}));
  return Load(id);
}

absl::StatusOr<std::vector<CampaignRecord>> CampaignStore::List() {
  std::vector<CampaignRecord> campaigns;
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(kList, Parameters().Int64(cluster_id_)));
  for (const Row row : result) {
    ASSIGN_OR_RETURN(CampaignRecord campaign, ReadCampaign(row));
    campaigns.push_back(std::move(campaign));
  }
  ASSIGN_OR_RETURN(const auto counts, ReadCounts(connection_.Execute(kCountAll, Parameters().Int64(cluster_id_))));
  for (CampaignRecord& campaign : campaigns) {
    if (const auto found = counts.find(campaign.id); found != counts.end()) campaign.counts = found->second;
  }
  return campaigns;
}

absl::StatusOr<CampaignRecord> CampaignStore::Load(int32_t id) {
  ASSIGN_OR_RETURN(CampaignRecord campaign, Read(kLoad, id));
  ASSIGN_OR_RETURN(const auto counts,
                   ReadCounts(connection_.Execute(kCountOne, Parameters().Int64(cluster_id_).Int64(id))));
  if (const auto found = counts.find(id); found != counts.end()) campaign.counts = found->second;
  return campaign;
}

absl::StatusOr<int64_t> CampaignStore::CountRemaining(const CampaignRecord& campaign, absl::Time now) {
  return CountCampaignDevices(connection_, cluster_id_, campaign, now);
}

absl::StatusOr<CampaignRecord> CampaignStore::Read(const Statement& statement, int32_t id) {
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(statement, Parameters().Int64(cluster_id_).Int64(id)));
  if (result.empty()) {
    return NotFound("there is no campaign {} in this cluster: see `trustctl capf campaign list`", id);
  }
  return ReadCampaign(result[0]);
}

absl::Status CampaignStore::SetState(int32_t id, CampaignState state, std::string_view reason, absl::Time now) {
  return connection_
      .Execute(kSetState,
               Parameters().Int64(cluster_id_).Int64(id).Text(CampaignStateName(state)).Text(reason).Time(now))
      .status();
}

}  // namespace trustline
