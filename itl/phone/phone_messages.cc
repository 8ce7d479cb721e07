#include "itl/phone/phone_messages.h"

#include "common/bytes/bytes.h"
#include "common/rpc/proto_time.h"
#include "common/status/status.h"

namespace trustline {
namespace {

std::string HashBytes(const std::optional<Sha1Digest>& sha1) {
  return sha1 ? std::string(AsText(*sha1)) : std::string();
}

}  // namespace

std::string_view PhoneStatusText(PhoneStatus status) {
  switch (status) {
    case PhoneStatus::kMatch:
      return "Match";
    case PhoneStatus::kMismatch:
      return "Mismatch";
    case PhoneStatus::kNotInstalled:
      return "Not Installed";
    case PhoneStatus::kUnknown:
      return "Unknown";
    case PhoneStatus::kForeign:
      break;
  }
  return "Foreign";
}

v1::PhoneStatus ToProto(PhoneStatus status) {
  switch (status) {
    case PhoneStatus::kMatch:
      return v1::PHONE_STATUS_MATCH;
    case PhoneStatus::kMismatch:
      return v1::PHONE_STATUS_MISMATCH;
    case PhoneStatus::kNotInstalled:
      return v1::PHONE_STATUS_NOT_INSTALLED;
    case PhoneStatus::kUnknown:
      return v1::PHONE_STATUS_UNKNOWN;
    case PhoneStatus::kForeign:
      break;
  }
  return v1::PHONE_STATUS_FOREIGN;
}

v1::HeldList ToProto(const HoldingView& view, const std::optional<Sha1Digest>& sha1) {
  const Holding& holding = view.holding;
  v1::HeldList held;
  held.set_status(ToProto(view.status));
  held.set_generation(holding.generation);
  if (holding.published_at) *held.mutable_published_at() = ToProtoTime(*holding.published_at);
  if (holding.list_id != 0 && holding.list_server != view.server) held.set_generation_server(holding.list_server);
  held.set_device_list(!holding.list_device.empty());
  held.set_adopted_from(holding.adopted_origin);
  held.set_sha1(HashBytes(sha1));
  held.set_expected_generation(view.expected_generation);
  held.set_server(view.server);
  held.set_reported_server(holding.reported_server);
  return held;
}

v1::Phone ToProto(const PhoneRow& phone, const HoldingViews& views) {
  const PhoneState& state = phone.state;
  v1::Phone message;
  message.set_device(state.device);
  *message.mutable_itl() = ToProto(views.Get(state.holding_id), state.itl_sha1);
  if (state.ctl_holding_id != 0) *message.mutable_ctl() = ToProto(views.Get(state.ctl_holding_id), state.ctl_sha1);
  message.set_model(phone.model);
  message.set_site(phone.site);
  message.set_address(state.address);
  message.set_user_agent(state.user_agent);
  if (state.reported_at) *message.mutable_reported_at() = ToProtoTime(*state.reported_at);
  if (state.registered) message.set_registered(*state.registered);
  message.set_via(state.via);
  message.set_known(true);
  return message;
}

v1::Phone ToProto(const Claim& claim, const HoldingView& view, const PhoneRow* known) {
  v1::Phone message;
  message.set_device(claim.device);
  const bool has_hash = claim.itl.state == ListSignature::State::kHash;
  *message.mutable_itl() = ToProto(view, has_hash ? std::optional(claim.itl.sha1) : std::nullopt);
  if (known != nullptr) {
    message.set_model(known->model);
    message.set_site(known->site);
  }
  message.set_address(claim.address);
  message.set_user_agent(claim.user_agent);
  *message.mutable_reported_at() = ToProtoTime(claim.last_at);
  message.set_claimed_from(claim.source);
  message.set_claim_reason(claim.reason);
  message.set_known(known != nullptr);
  return message;
}

absl::StatusOr<PhoneFilter> FromProto(const v1::PhoneFilter& filter) {
  PhoneFilter result;
  for (const int wanted : filter.statuses()) {
    bool is_known = false;
    for (const PhoneStatus status : kPhoneStatuses) {
      if (ToProto(status) != wanted) continue;
      result.statuses.insert(status);
      is_known = true;
    }
    if (!is_known) return InvalidArgument("the status {} is none", wanted);
  }
  result.server = filter.tftp_server();
  result.model = filter.model();
  result.site = filter.site();
  if (filter.has_since()) result.since = FromProtoTime(filter.since());
  result.evidence_only = filter.evidence_only();
  return result;
}

}  // namespace trustline
