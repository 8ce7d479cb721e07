#include "common/service/hours_of_day.h"

#include <optional>

#include "common/status/status.h"

namespace trustline {
namespace {

constexpr int32_t kMinutesOfDay = 24 * 60;

// "22:00", "24:00" being the next day's "00:00".
std::optional<int32_t> ReadMinute(std::string_view text) {
  if (text.size() != 5 || text[2] != ':') return std::nullopt;
  for (const size_t i : {0, 1, 3, 4}) {
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
  }
  const int32_t hour = (text[0] - '0') * 10 + (text[1] - '0');
  const int32_t minute = (text[3] - '0') * 10 + (text[4] - '0');
  if (minute > 59 || hour * 60 + minute > kMinutesOfDay) return std::nullopt;
  return hour * 60 + minute;
}

}  // namespace

absl::StatusOr<HoursOfDay> HoursOfDay::Parse(std::string_view text) {
  if (text.empty()) return HoursOfDay();
  if (text.size() == 11 && text[5] == '-') {
    const std::optional<int32_t> from = ReadMinute(text.substr(0, 5));
    const std::optional<int32_t> until = ReadMinute(text.substr(6));
    if (from && until) return HoursOfDay(*from % kMinutesOfDay, *until % kMinutesOfDay);
  }
  return InvalidArgument("hours are given as \"22:00-05:00\", from 00:00 to 24:00, not as \"{}\"", text.substr(0, 64));
}

absl::StatusOr<HoursOfDay> HoursOfDay::Create(int32_t from_minute, int32_t until_minute) {
  if (from_minute < 0 || from_minute >= kMinutesOfDay || until_minute < 0 || until_minute >= kMinutesOfDay) {
    return InvalidArgument("{} and {} are not two minutes of a day", from_minute, until_minute);
  }
  return HoursOfDay(from_minute, until_minute);
}

std::string HoursOfDay::ToText() const {
  if (from_minute_ == until_minute_) return "";
  return fmt::format("{:02}:{:02}-{:02}:{:02}", from_minute_ / 60, from_minute_ % 60, until_minute_ / 60,
                     until_minute_ % 60);
}

bool HoursOfDay::Contain(absl::Time time, absl::TimeZone zone) const {
  const absl::CivilMinute local = absl::ToCivilMinute(time, zone);
  const int32_t minute = local.hour() * 60 + local.minute();
  if (from_minute_ == until_minute_) return true;
  if (from_minute_ < until_minute_) return from_minute_ <= minute && minute < until_minute_;
  return from_minute_ <= minute || minute < until_minute_;
}

}  // namespace trustline
