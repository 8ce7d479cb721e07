#include "capf/campaign_runner.h"

#include <utility>
#include <vector>

#include "common/postgres/transaction.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr Statement kRunning = {"campaigns_running",
                                "SELECT cluster_id, campaign_id FROM capf_campaign WHERE state = 'running' "
                                "ORDER BY cluster_id, campaign_id"};

}  // namespace

CampaignRunner::CampaignRunner(CampaignRunnerOptions options, Pool& pool, const Clock& clock, Log& log,
                               Metrics& metrics)
    : options_(std::move(options)),
      pool_(pool),
      clock_(clock),
      log_(log),
      running_(metrics.GetGauge("trustline_capf_campaigns_running", "Campaigns that run, of all clusters.")),
      waves_(metrics.GetCounter("trustline_capf_campaign_waves_total", "Waves of campaigns that this process began.")) {
}

CampaignRunner::~CampaignRunner() { Stop(); }

void CampaignRunner::Start() {
  thread_ = std::thread([this] { Run(); });
}

void CampaignRunner::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void CampaignRunner::Run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    if (const absl::Status status = AdvanceAll(); !status.ok() && !absl::IsUnavailable(status)) {
      log_.Warning("CAPF_CAMPAIGNS_UNKNOWN", "running campaigns could not be looked at", {{"reason", status}});
    }
    lock.lock();
    changed_.wait_for(lock, absl::ToChronoMilliseconds(options_.interval), [this] { return stopping_; });
  }
}

absl::Status CampaignRunner::AdvanceAll() {
  std::vector<std::pair<int32_t, int32_t>> campaigns;
  {
    ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
    ASSIGN_OR_RETURN(const Result result, lease->Execute(kRunning));
    for (const Row row : result) {
      auto& [cluster_id, campaign_id] = campaigns.emplace_back();
      RETURN_IF_ERROR(row.Scan(cluster_id, campaign_id));
    }
  }
  running_.Set(static_cast<double>(campaigns.size()));
  for (const auto& [cluster_id, campaign_id] : campaigns) Advance(cluster_id, campaign_id);
  return absl::OkStatus();
}

void CampaignRunner::Advance(int32_t cluster_id, int32_t campaign_id) {
  const absl::StatusOr<CampaignStep> step = RunInTransaction(pool_, {}, [&](Connection& connection) {
    return AdvanceCampaign(connection, cluster_id, campaign_id, options_.actor, clock_.Now());
  });
  if (!step.ok()) {
    // The next step tries again: at once after these, and they pass by themselves.
    if (absl::IsUnavailable(step.status()) || absl::IsAborted(step.status())) return;
    log_.Warning("CAPF_CAMPAIGN_STUCK", "a running campaign could not go on",
                 {{"campaign", campaign_id}, {"reason", step.status()}});
    return;
  }
  if (step->refused > 0) {
    log_.Warning("CAPF_CAMPAIGN_REFUSED", "devices of a campaign could not be scheduled",
                 {{"campaign", campaign_id}, {"devices", step->refused}, {"first_reason", step->refusal}});
  }
  switch (step->kind) {
    case CampaignStep::Kind::kNothing:
      return;
    case CampaignStep::Kind::kWaveBegun:
      waves_.Add();
      log_.Info("CAPF_CAMPAIGN_WAVE", "the next wave of a campaign began",
                {{"campaign", campaign_id}, {"wave", step->wave}, {"devices", step->devices}});
      return;
    case CampaignStep::Kind::kPaused:
      log_.Warning("CAPF_CAMPAIGN_PAUSED",
                   "a campaign paused by itself: find out why, then `trustctl capf campaign start`",
                   {{"campaign", campaign_id}, {"reason", step->reason}});
      return;
    case CampaignStep::Kind::kFinished:
      log_.Info("CAPF_CAMPAIGN_FINISHED", "a campaign has no device left", {{"campaign", campaign_id}});
      return;
  }
}

}  // namespace trustline
