#include "itl/reset/reset_messages.h"

#include "common/device/device_name.h"
#include "common/rpc/proto_time.h"
#include "common/status/status.h"
#include "itl/phone/phone_messages.h"

namespace trustline {
namespace {

v1::ResetState StateOf(const ResetRecord& reset, absl::TimeZone zone, absl::Time now) {
  switch (reset.state) {
    case ResetState::kRunning:
      return reset.hours.Contain(now, zone) ? v1::RESET_STATE_RUNNING : v1::RESET_STATE_WAITS_FOR_HOURS;
    case ResetState::kPaused:
      return v1::RESET_STATE_PAUSED;
    case ResetState::kStopped:
      return v1::RESET_STATE_STOPPED;
    case ResetState::kDone:
      return v1::RESET_STATE_DONE;
    case ResetState::kAborted:
      return v1::RESET_STATE_ABORTED;
  }
  return v1::RESET_STATE_UNSPECIFIED;
}

}  // namespace

v1::Reset ToProto(const ResetRecord& reset, int64_t reported, absl::TimeZone zone, absl::Time now) {
  v1::Reset proto;
  proto.set_number(reset.id);
  proto.set_state(StateOf(reset, zone, now));
  proto.set_state_reason(reset.state_reason);
  proto.set_phones(reset.counts.phones);
  proto.set_waiting(reset.counts.waiting);
  proto.set_accepted(reset.counts.accepted);
  proto.set_failed(reset.counts.failed);
  proto.set_reported(reported);
  proto.set_gone(reset.counts.gone);
  proto.set_wave(reset.wave);
  proto.set_pause_seconds(static_cast<int32_t>(absl::ToInt64Seconds(reset.pause)));
  proto.set_hours(reset.hours.ToText());
  proto.set_stop_at_failures(reset.stop_at_failures);
  proto.set_hook(reset.hook);
  proto.set_reason(reset.reason);
  proto.set_ordered_by(reset.ordered_by);
  *proto.mutable_ordered_at() = ToProtoTime(reset.ordered_at);
  if (reset.ended_at) *proto.mutable_ended_at() = ToProtoTime(*reset.ended_at);
  if (reset.state == ResetState::kRunning) *proto.mutable_next_wave_at() = ToProtoTime(reset.next_wave_at);
  proto.set_plan(reset.plan_id);
  return proto;
}

v1::ShowResetResponse::PhoneReset ToProto(const ResetPhone& phone) {
  v1::ShowResetResponse::PhoneReset proto;
  proto.set_device(phone.device);
  proto.set_state(phone.state);
  proto.set_answer(phone.answer);
  if (phone.at) *proto.mutable_at() = ToProtoTime(*phone.at);
  proto.set_reported(phone.reported);
  return proto;
}

absl::StatusOr<ResetOrder> FromProto(const v1::StartResetRequest& request) {
  ResetOrder order;
  if (!request.devices().empty() && (request.has_filter() || request.out_of_step_only())) {
    return InvalidArgument("phones are either named, or chosen by a filter");
  }
  // It would have to be worked out for every phone, and would be another one by the time of its wave.
  if (request.filter().cures_size() > 0) {
    return InvalidArgument(
        "phones are not reset by their cure: name those that `trustctl phones report --cure` lists (--device), or "
        "choose "
        "by status");
  }
  ASSIGN_OR_RETURN(order.filter, FromProto(request.filter()));
  for (const std::string& text : request.devices()) {
    ASSIGN_OR_RETURN(const DeviceName device, DeviceName::Parse(text));
    order.devices.push_back(device.text());
  }
  order.out_of_step_only = request.out_of_step_only();
  if (request.wave() != 0) order.wave = request.wave();
  if (request.without_pause() && request.pause_seconds() != 0) {
    return InvalidArgument("waves come either without a pause, or with one of {} seconds", request.pause_seconds());
  }
  if (request.without_pause()) order.pause = absl::ZeroDuration();
  if (request.pause_seconds() != 0) order.pause = absl::Seconds(request.pause_seconds());
  ASSIGN_OR_RETURN(order.hours, HoursOfDay::Parse(request.hours()));
  if (request.stop_at_failures() != 0) order.stop_at_failures = request.stop_at_failures();
  order.reason = request.reason();
  return order;
}

}  // namespace trustline
