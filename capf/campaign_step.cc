#include "capf/campaign_step.h"

#include <algorithm>
#include <span>
#include <vector>

#include "capf/campaign_devices.h"
#include "capf/campaign_store.h"
#include "capf/operation_store.h"
#include "common/bytes/bytes.h"
#include "common/bytes/sha256.h"
#include "common/service/audit.h"
#include "common/service/time_text.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr int64_t kFewestEnded = 20;        // that say anything about a wave that goes on
constexpr int32_t kDevicesLookedAt = 1000;  // in whole waves before the present one
constexpr size_t kDevicesAtOnce = 1000;     // that OperationStore takes

// Two waves of one cluster never choose at the same time: they would choose the same devices.
constexpr Statement kTakeTurn = {"campaign_turn", "SELECT pg_try_advisory_xact_lock(17218, $1::int)"};
// Pausing waits for a wave that is being scheduled.
constexpr Statement kLockRunning = {"campaign_lock_running", "SELECT " CAMPAIGN_COLUMNS
                                                             " FROM capf_campaign c WHERE cluster_id = $1 "
                                                             "AND campaign_id = $2 AND state = 'running' "
                                                             "FOR NO KEY UPDATE"};
constexpr Statement kTimeZone = {"campaign_time_zone", "SELECT time_zone FROM cluster WHERE cluster_id = $1"};
constexpr Statement kIsOpen = {"campaign_wave_open",
                               "SELECT EXISTS (SELECT FROM capf_operation WHERE cluster_id = $1 AND campaign_id = $2 "
                               "AND wave = $3 AND state IN ('pending', 'in progress'))"};
constexpr Statement kCountEnded = {
    "campaign_count_ended",
    "SELECT count(*), count(*) FILTER (WHERE state <> 'success') FROM capf_operation "
    "WHERE cluster_id = $1 AND campaign_id = $2 AND wave > $3 AND state IN ('success', 'failed', 'expired')"};
constexpr Statement kPause = {"campaign_pause",
                              "UPDATE capf_campaign SET state = 'paused', state_reason = $3, forgiven_waves = waves, "
                              "changed_at = $4 WHERE cluster_id = $1 AND campaign_id = $2"};
constexpr Statement kFinish = {
    "campaign_finish",
    "UPDATE capf_campaign SET state = 'finished', changed_at = $3 WHERE cluster_id = $1 AND campaign_id = $2"};
constexpr Statement kCountWave = {
    "campaign_count_wave",
    "UPDATE capf_campaign SET waves = $3, changed_at = $4 WHERE cluster_id = $1 AND campaign_id = $2"};

// One step of one campaign.
class Stepper {
 public:
  Stepper(Connection& connection, int32_t cluster_id, CampaignRecord campaign, std::string_view actor, absl::Time now)
      : connection_(connection), cluster_id_(cluster_id), campaign_(std::move(campaign)), actor_(actor), now_(now) {}

  absl::StatusOr<CampaignStep> Take() {
    // 1. Is the wave over, and did too much fail?
    ASSIGN_OR_RETURN(const bool is_open, IsWaveOpen());
    ASSIGN_OR_RETURN(const std::string reason, WhyToPause(is_open));
    if (!reason.empty()) return Pause(reason);

    // 2. May the next one begin?
    if (is_open) return CampaignStep();
    ASSIGN_OR_RETURN(const bool is_within_hours, IsWithinHours());
    if (!is_within_hours) return CampaignStep();

    // 3. With whom?
    ASSIGN_OR_RETURN(const std::vector<std::string> devices,
                     FindCampaignDevices(connection_, cluster_id_, campaign_, campaign_.wave_size, now_));
    if (devices.empty()) return Finish();
    return BeginWave(devices);
  }

 private:
  Parameters Row() const { return std::move(Parameters().Int64(cluster_id_).Int64(campaign_.id)); }

  absl::StatusOr<bool> IsWaveOpen() {
    if (campaign_.waves == 0) return false;
    ASSIGN_OR_RETURN(const Result result, connection_.Execute(kIsOpen, Row().Int64(campaign_.waves)));
    return result.Value<bool>();
  }

  // In words and numbers; empty when the campaign may go on.
  absl::StatusOr<std::string> WhyToPause(bool is_open) {
    const int64_t limit = campaign_.stop_at_failures;
    if (limit == 0) return "";
    const int32_t waves_looked_at = 1 + (kDevicesLookedAt + campaign_.wave_size - 1) / campaign_.wave_size;
    const int32_t after = std::max(campaign_.forgiven_waves, campaign_.waves - waves_looked_at);
    ASSIGN_OR_RETURN(const Result result, connection_.Execute(kCountEnded, Row().Int64(after)));
    int64_t ended = 0, failures = 0;
    RETURN_IF_ERROR(result[0].Scan(ended, failures));
    if (failures == 0 || failures * 100 < limit * ended) return "";
    if (is_open && ended < std::min<int64_t>(campaign_.wave_size, kFewestEnded)) return "";
    return fmt::format("{} of {} ended without success ({:.1f} %), the limit is {} %", failures, ended,
                       100.0 * static_cast<double>(failures) / static_cast<double>(ended), limit);
  }

  absl::StatusOr<bool> IsWithinHours() {
    if (campaign_.hours.ToText().empty()) return true;
    ASSIGN_OR_RETURN(const Result result, connection_.Execute(kTimeZone, Parameters().Int64(cluster_id_)));
    ASSIGN_OR_RETURN(const std::string name, result.Value<std::string>());
    absl::TimeZone zone;
    if (!absl::LoadTimeZone(name, &zone)) {
      return FailedPrecondition("this machine does not know the cluster's time zone {}: install tzdata", name);
    }
    return campaign_.hours.Contain(now_, zone);
  }

  absl::StatusOr<CampaignStep> Pause(const std::string& reason) {
    RETURN_IF_ERROR(connection_.Execute(kPause, Row().Text(reason).Time(now_)).status());
    RETURN_IF_ERROR(Audit("capf.campaign.pause", {{"reason", reason}, {"waves", std::to_string(campaign_.waves)}}));
    return CampaignStep{.kind = CampaignStep::Kind::kPaused, .reason = reason};
  }

  absl::StatusOr<CampaignStep> Finish() {
    RETURN_IF_ERROR(connection_.Execute(kFinish, Row().Time(now_)).status());
    RETURN_IF_ERROR(Audit("capf.campaign.finish", {{"waves", std::to_string(campaign_.waves)}}));
    return CampaignStep{.kind = CampaignStep::Kind::kFinished};
  }

  absl::StatusOr<CampaignStep> BeginWave(std::span<const std::string> devices) {
    const OperationOrder order = {.operation = CapfOperation::kInstall,
                                  .authentication = campaign_.authentication,
                                  .keys = campaign_.keys,
                                  .deadline = now_ + campaign_.operation_time,
                                  .scheduled_by = std::string(actor_),
                                  .campaign_id = campaign_.id,
                                  .wave = campaign_.waves + 1};
    CampaignStep step;
    std::vector<std::string> scheduled;
    // A plan that was made while the tables had a few rows would go through all that a large wave brings.
    RETURN_IF_ERROR(connection_.Execute("SET LOCAL plan_cache_mode = force_custom_plan").status());
    for (size_t begin = 0; begin < devices.size(); begin += kDevicesAtOnce) {
      RETURN_IF_ERROR(
          Schedule(order, devices.subspan(begin, std::min(kDevicesAtOnce, devices.size() - begin)), scheduled, step));
    }
    // Devices may have gone out of service, or got another operation, since they were found.
    if (scheduled.empty()) return step;

    std::ranges::sort(scheduled);
    std::string names;
    for (const std::string& device : scheduled) names += device + '\n';
    RETURN_IF_ERROR(connection_.Execute(kCountWave, Row().Int64(order.wave).Time(now_)).status());
    RETURN_IF_ERROR(Audit("capf.campaign.wave", {{"wave", std::to_string(order.wave)},
                                                 {"devices", std::to_string(scheduled.size())},
                                                 {"sha256", ToHex(Sha256(AsBytes(names)))},
                                                 {"refused", std::to_string(step.refused)},
                                                 {"deadline", TimeTextSeconds(order.deadline)}}));
    step.kind = CampaignStep::Kind::kWaveBegun;
    step.wave = order.wave;
    step.devices = static_cast<int64_t>(scheduled.size());
    return step;
  }

  absl::Status Schedule(const OperationOrder& order, std::span<const std::string> devices,
                        std::vector<std::string>& scheduled, CampaignStep& step) {
    std::vector<OrderedDevice> ordered;
    ordered.reserve(devices.size());
    for (const std::string& device : devices) ordered.push_back({.device = device});
    ASSIGN_OR_RETURN(const std::vector<ScheduledOperation> results,
                     OperationStore(connection_, cluster_id_).Schedule(order, ordered, now_));
    for (size_t i = 0; i < results.size(); ++i) {
      // Somebody's order of this moment stands: without this transaction it does.
      if (results[i].replaced) return Aborted("{} got another operation meanwhile", devices[i]);
      if (results[i].operation_id != 0) {
        scheduled.push_back(devices[i]);
      } else if (step.refused++ == 0) {
        step.refusal = results[i].refusal;
      }
    }
    return absl::OkStatus();
  }

  absl::Status Audit(std::string_view action, std::vector<std::pair<std::string, std::string>> detail) {
    return AppendAudit(connection_, {.cluster_id = cluster_id_,
                                     .actor = std::string(actor_),
                                     .action = std::string(action),
                                     .subject = fmt::format("campaign {}", campaign_.id),
                                     .detail = std::move(detail)});
  }

  Connection& connection_;
  const int32_t cluster_id_;
  const CampaignRecord campaign_;
  const std::string_view actor_;
  const absl::Time now_;
};

}  // namespace

absl::StatusOr<CampaignStep> AdvanceCampaign(Connection& transaction, int32_t cluster_id, int32_t campaign_id,
                                             std::string_view actor, absl::Time now) {
  ASSIGN_OR_RETURN(const Result turn, transaction.Execute(kTakeTurn, Parameters().Int64(cluster_id)));
  ASSIGN_OR_RETURN(const bool is_ours, turn.Value<bool>());
  if (!is_ours) return CampaignStep();
  ASSIGN_OR_RETURN(const Result row,
                   transaction.Execute(kLockRunning, Parameters().Int64(cluster_id).Int64(campaign_id)));
  if (row.empty()) return CampaignStep();
  ASSIGN_OR_RETURN(CampaignRecord campaign, ReadCampaign(row[0]));
  return Stepper(transaction, cluster_id, std::move(campaign), actor, now).Take();
}

}  // namespace trustline
