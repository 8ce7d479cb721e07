#include "itl/phone/phone_state.h"

#include <algorithm>

namespace trustline {
namespace {

std::optional<Sha1Digest> HashOf(const ListSignature& signature) {
  if (signature.state != ListSignature::State::kHash) return std::nullopt;
  return signature.sha1;
}

void EndLiveRow(PhoneState& state) {
  state.holding_id = 0;
  state.ctl_holding_id = 0;
  state.itl_sha1.reset();
  state.ctl_sha1.reset();
  state.reported_at.reset();
  state.via.clear();
}

// What cannot be read says nothing of what the phone holds.
void RecordHeld(const ListSignature& signature, int64_t holding_id, absl::Time at, SeenList& held) {
  if (signature.state == ListSignature::State::kUnreadable || (held.at && *held.at > at)) return;
  held = {.holding_id = holding_id, .sha1 = HashOf(signature), .at = at};
}

ReportEffect ApplyLists(const ResolvedReport& resolved, PhoneState& state) {
  const PhoneReport& report = *resolved.report;
  const bool is_older =
      (state.reported_at && *state.reported_at > report.at) || (state.held.at && *state.held.at > report.at);
  const bool has_left = state.registered == false && state.registration_at && *state.registration_at > report.at;
  RecordHeld(report.itl, resolved.holding_id, report.at, state.held);
  if (report.ctl) RecordHeld(*report.ctl, resolved.ctl_holding_id, report.at, state.held_ctl);
  if (is_older || has_left) return ReportEffect::kOlder;

  const bool says_the_same = state.holding_id == resolved.holding_id && state.itl_sha1 == HashOf(report.itl) &&
                             state.ctl_holding_id == resolved.ctl_holding_id;
  state.holding_id = resolved.holding_id;
  state.itl_sha1 = HashOf(report.itl);
  state.ctl_holding_id = resolved.ctl_holding_id;
  state.ctl_sha1 = report.ctl ? HashOf(*report.ctl) : std::nullopt;
  state.reported_at = report.at;
  // An export of a call manager may know neither.
  if (!report.address.empty()) state.address = report.address;
  if (!report.user_agent.empty()) state.user_agent = report.user_agent;
  state.via = report.Via();
  return says_the_same ? ReportEffect::kRenewed : ReportEffect::kChanged;
}

ReportEffect ApplyRegistration(const PhoneReport& report, PhoneState& state) {
  if (state.registration_at && *state.registration_at > report.at) return ReportEffect::kOlder;
  const bool registers = report.event == PhoneEventKind::kRegistered;
  bool says_the_same = state.registered == registers;
  state.registered = registers;
  state.registration_at = report.at;
  if (registers) {
    if (!report.address.empty()) state.address = report.address;
    if (!report.user_agent.empty()) state.user_agent = report.user_agent;
  } else if (!state.reported_at || *state.reported_at <= report.at) {
    says_the_same = says_the_same && state.holding_id == 0;
    EndLiveRow(state);
  }
  return says_the_same ? ReportEffect::kRenewed : ReportEffect::kChanged;
}

}  // namespace

ReportEffect ApplyReport(const ResolvedReport& resolved, PhoneState& state) {
  switch (resolved.report->event) {
    case PhoneEventKind::kLists:
    case PhoneEventKind::kAdopted:
      return ApplyLists(resolved, state);
    case PhoneEventKind::kRegistered:
    case PhoneEventKind::kUnregistered:
      break;
  }
  return ApplyRegistration(*resolved.report, state);
}

}  // namespace trustline
