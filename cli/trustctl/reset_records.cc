#include "cli/trustctl/reset_records.h"

#include <fmt/format.h>

#include "cli/trustctl/trust_list_records.h"
#include "cli/trustctl/trust_records.h"

namespace trustline {
namespace {

Cell ShareCell(double share) { return JsonText{fmt::format("{:.4g}", 100 * share)}; }
Cell PlanCell(const v1::Reset& reset) { return reset.plan() == 0 ? Cell() : Cell(int64_t{reset.plan()}); }

}  // namespace

bool IsUnderWay(const v1::Reset& reset) {
  return reset.state() == v1::RESET_STATE_RUNNING || reset.state() == v1::RESET_STATE_WAITS_FOR_HOURS;
}

std::vector<Column> ResetColumns() {
  return {{"reset", "RESET"},
          {"state", "STATE"},
          {"phones", "PHONES"},
          {"waiting", "WAITING"},
          {"accepted", "ACCEPTED"},
          {"failed", "FAILED"},
          {"reported", "REPORTED"},
          {"hook", "HOOK"},
          {"ordered_at", "ORDERED"},
          {"reason", "REASON"},
          {"state_reason", "STATE REASON", false},
          {"gone", "GONE", false},
          {"wave", "WAVE", false},
          {"pause_seconds", "PAUSE", false},
          {"hours", "HOURS", false},
          {"stop_at_failures_percent", "STOP AT FAILURES", false},
          {"ordered_by", "ORDERED BY", false},
          {"ended_at", "ENDED", false},
          {"next_wave_at", "NEXT WAVE", false},
          {"plan", "PLAN", false}};
}

Row ResetRow(const v1::Reset& reset) {
  return {reset.number(),
          WordCell(kResetStates, reset.state()),
          reset.phones(),
          reset.waiting(),
          reset.accepted(),
          reset.failed(),
          reset.reported(),
          reset.hook(),
          TimestampCell(reset.ordered_at()),
          TextCell(reset.reason()),
          TextCell(reset.state_reason()),
          reset.gone(),
          int64_t{reset.wave()},
          absl::Seconds(reset.pause_seconds()),
          TextCell(reset.hours()),
          ShareCell(reset.stop_at_failures()),
          TextCell(reset.ordered_by()),
          TimestampCell(reset.ended_at()),
          TimestampCell(reset.next_wave_at()),
          PlanCell(reset)};
}

Record ResetRecord(const v1::Reset& reset) {
  return Record()
      .Add("reset", "Reset", reset.number() == 0 ? Cell() : Cell(reset.number()))
      .Add("state", "State", WordCell(kResetStates, reset.state()))
      .Add("state_reason", "Because", TextCell(reset.state_reason()))
      .Add("phones", "Phones", reset.phones())
      .Add("waiting", "Waiting", reset.waiting())
      .Add("accepted", "Accepted", reset.accepted())
      .Add("failed", "Failed", reset.failed())
      .Add("gone", "Left service before", reset.gone())
      .Add("reported", "Reported since", reset.reported())
      .Add("hook", "Hook", reset.hook())
      .Add("wave", "Phones in a wave", int64_t{reset.wave()})
      .Add("pause_seconds", "Pause between waves", absl::Seconds(reset.pause_seconds()))
      .Add("hours", "Waves begin", TextCell(reset.hours()))
      .Add("stop_at_failures_percent", "Stops at failures (%)", ShareCell(reset.stop_at_failures()))
      .Add("next_wave_at", "Next wave", TimestampCell(reset.next_wave_at()))
      .Add("reason", "Reason", TextCell(reset.reason()))
      .Add("ordered_by", "Ordered by", reset.ordered_by())
      .Add("ordered_at", "Ordered", TimestampCell(reset.ordered_at()))
      .Add("ended_at", "Ended", TimestampCell(reset.ended_at()))
      .Add("plan", "Of plan", PlanCell(reset));
}

std::vector<Column> PhoneResetColumns() {
  return {
      {"phone", "PHONE"}, {"state", "STATE"}, {"reported", "REPORTED"}, {"at", "HANDED OVER"}, {"answer", "ANSWER"}};
}

Row PhoneResetRow(const v1::ShowResetResponse::PhoneReset& phone) {
  return {phone.device(), phone.state(), phone.reported(), TimestampCell(phone.at()), TextCell(phone.answer())};
}

std::string ResetProgress(const v1::Reset& reset) {
  std::string text = fmt::format("{} of {} tried: {} accepted, {} failed", reset.accepted() + reset.failed(),
                                 PhoneCountText(reset.phones()), reset.accepted(), reset.failed());
  if (reset.gone() > 0) text += fmt::format(", {} left service", reset.gone());
  return text + fmt::format("; {} reported since", reset.reported());
}

std::string PhoneCountText(int64_t phones) { return fmt::format("{} phone{}", phones, phones == 1 ? "" : "s"); }

}  // namespace trustline
