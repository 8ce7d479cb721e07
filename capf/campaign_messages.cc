#include "capf/campaign_messages.h"

#include "capf/enrolment_messages.h"
#include "common/rpc/proto_time.h"
#include "common/status/status.h"

namespace trustline {
namespace {

v1::CampaignState ToProto(CampaignState state) {
  switch (state) {
    case CampaignState::kCreated:
      return v1::CAMPAIGN_STATE_CREATED;
    case CampaignState::kRunning:
      return v1::CAMPAIGN_STATE_RUNNING;
    case CampaignState::kPaused:
      return v1::CAMPAIGN_STATE_PAUSED;
    case CampaignState::kFinished:
      return v1::CAMPAIGN_STATE_FINISHED;
  }
  return v1::CAMPAIGN_STATE_UNSPECIFIED;
}

}  // namespace

v1::Campaign ToProto(const CampaignRecord& campaign, std::optional<int64_t> remaining) {
  v1::Campaign message;
  message.set_campaign_id(campaign.id);
  message.set_state(ToProto(campaign.state));
  message.set_state_reason(campaign.state_reason);
  if (campaign.expires_before) *message.mutable_expires_before() = ToProtoTime(*campaign.expires_before);
  message.set_authority_id(campaign.authority_id);
  message.set_authentication(ToProto(campaign.authentication));
  *message.mutable_key() = ToProto(campaign.keys);
  message.set_wave_size(campaign.wave_size);
  message.set_hours(campaign.hours.ToText());
  message.set_stop_at_failures(campaign.stop_at_failures);
  *message.mutable_operation_time() = ToProtoDuration(campaign.operation_time);
  message.set_waves(campaign.waves);
  message.set_created_by(campaign.created_by);
  *message.mutable_created_at() = ToProtoTime(campaign.created_at);
  message.set_pending(campaign.counts.pending);
  message.set_in_progress(campaign.counts.in_progress);
  message.set_success(campaign.counts.success);
  message.set_failed(campaign.counts.failed);
  message.set_expired(campaign.counts.expired);
  message.set_cancelled(campaign.counts.cancelled);
  message.set_remaining(remaining.value_or(0));
  return message;
}

absl::StatusOr<CampaignOrder> ReadCampaignOrder(const v1::CreateCampaignRequest& request) {
  CampaignOrder order;
  if (request.has_expires_within()) order.expires_within = FromProtoDuration(request.expires_within());
  if (request.authority_id() < 0) return InvalidArgument("there is no authority {}", request.authority_id());
  order.authority_id = request.authority_id();
  ASSIGN_OR_RETURN(const std::optional<EnrolmentAuthentication> authentication, FromProto(request.authentication()));
  order.authentication = authentication.value_or(order.authentication);
  ASSIGN_OR_RETURN(order.keys, FromProto(request.key()));
  if (request.wave_size() != 0) order.wave_size = request.wave_size();
  ASSIGN_OR_RETURN(order.hours, HoursOfDay::Parse(request.hours()));
  if (request.has_stop_at_failures()) order.stop_at_failures = request.stop_at_failures();
  if (request.has_operation_time()) order.operation_time = FromProtoDuration(request.operation_time());
  return order;
}

}  // namespace trustline
