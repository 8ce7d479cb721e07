#include "common/service/time_text.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <optional>

#include "common/status/status.h"

namespace trustline {
namespace {

const absl::Duration kLongestDuration = absl::Hours(24) * 36525;  // 100 years

// Reads decimal digits and separators from the front of a text.
class TextCursor {
 public:
  explicit TextCursor(std::string_view text) : rest_(text) {}

  bool done() const { return rest_.empty(); }
  char peek() const { return rest_.empty() ? '\0' : rest_[0]; }

  bool Take(char wanted) {
    if (peek() != wanted) return false;
    rest_.remove_prefix(1);
    return true;
  }

  std::optional<int> Digits(size_t count) {
    if (rest_.size() < count) return std::nullopt;
    int value = 0;
    for (char c : rest_.substr(0, count)) {
      if (c < '0' || c > '9') return std::nullopt;
      value = value * 10 + (c - '0');
    }
    rest_.remove_prefix(count);
    return value;
  }

 private:
  std::string_view rest_;
};

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Everything after the date; empty when it is malformed.
struct TimeOfDay {
  int hour = 0, minute = 0, second = 0;
  absl::Duration fraction;
  std::optional<int> offset_minutes;
};

std::optional<TimeOfDay> ReadTimeOfDay(TextCursor& cursor) {
  TimeOfDay time;
  std::optional<int> hour = cursor.Digits(2);
  if (!hour || !cursor.Take(':')) return std::nullopt;
  std::optional<int> minute = cursor.Digits(2);
  if (!minute) return std::nullopt;
  time.hour = *hour;
  time.minute = *minute;
  if (cursor.Take(':')) {
    std::optional<int> second = cursor.Digits(2);
    if (!second) return std::nullopt;
    time.second = *second;
    if (cursor.Take('.')) {
      absl::Duration digit = absl::Milliseconds(100);
      if (!IsDigit(cursor.peek())) return std::nullopt;
      while (IsDigit(cursor.peek())) {
        time.fraction += digit * *cursor.Digits(1);
        digit /= 10;
      }
    }
  }
  if (cursor.Take('Z') || cursor.Take('z')) {
    time.offset_minutes = 0;
  } else if (cursor.peek() == '+' || cursor.peek() == '-') {
    const int sign = cursor.Take('-') ? -1 : (cursor.Take('+'), 1);
    std::optional<int> hours = cursor.Digits(2);
    if (!hours || *hours > 23 || !cursor.Take(':')) return std::nullopt;
    std::optional<int> minutes = cursor.Digits(2);
    if (!minutes || *minutes > 59) return std::nullopt;
    time.offset_minutes = sign * (*hours * 60 + *minutes);
  }
  // RFC 3339 allows second 60 for a leap second; it is the next minute's first second.
  if (time.hour > 23 || time.minute > 59 || time.second > 60) return std::nullopt;
  return time;
}

}  // namespace

std::string TimeText(absl::Time time) { return absl::FormatTime("%Y-%m-%d%ET%H:%M:%E3SZ", time, absl::UTCTimeZone()); }

std::string TimeTextSeconds(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d%ET%H:%M:%SZ", time, absl::UTCTimeZone());
}

absl::StatusOr<absl::Time> ParseTime(std::string_view text, absl::TimeZone zone) {
  const absl::Status malformed = InvalidArgument(
      "'{}' is not a time: write it as 2026-11-22T19:51:00Z, 2026-11-22T19:51:00+02:00, 2026-11-22T19:51 or 2026-11-22",
      text.substr(0, 64));
  TextCursor cursor(text);
  std::optional<int> year = cursor.Digits(4);
  if (!year || !cursor.Take('-')) return malformed;
  std::optional<int> month = cursor.Digits(2);
  if (!month || !cursor.Take('-')) return malformed;
  std::optional<int> day = cursor.Digits(2);
  if (!day) return malformed;
  TimeOfDay time;
  if (!cursor.done()) {
    if (!cursor.Take('T') && !cursor.Take('t') && !cursor.Take(' ')) return malformed;
    std::optional<TimeOfDay> read = ReadTimeOfDay(cursor);
    if (!read || !cursor.done()) return malformed;
    time = *read;
  }
  const absl::CivilDay date(*year, *month, *day);
  // Civil time folds 31 February into March; such a date is a mistake here.
  if (date.month() != *month || date.day() != *day) return malformed;
  const absl::CivilSecond civil(*year, *month, *day, time.hour, time.minute, time.second);
  if (time.offset_minutes) {
    return absl::FromCivil(civil, absl::UTCTimeZone()) - absl::Minutes(*time.offset_minutes) + time.fraction;
  }
  return absl::FromCivil(civil, zone) + time.fraction;
}

absl::StatusOr<absl::Duration> ParseDuration(std::string_view text) {
  const absl::Status malformed =
      InvalidArgument("'{}' is not a duration: write it as 90s, 15m, 24h, 30d, 500ms or 1h30m", text.substr(0, 64));
  if (text == "0") return absl::ZeroDuration();
  absl::Duration sum;
  size_t i = 0;
  if (text.empty()) return malformed;
  while (i < text.size()) {
    double number = 0;
    double scale = 1;
    bool any_digit = false;
    bool fraction = false;
    for (; i < text.size() && (IsDigit(text[i]) || (text[i] == '.' && !fraction && any_digit)); ++i) {
      if (text[i] == '.') {
        fraction = true;
        continue;
      }
      any_digit = true;
      number = number * 10 + (text[i] - '0');
      if (fraction) scale *= 10;
    }
    if (!any_digit) return malformed;
    absl::Duration unit;
    if (text.substr(i, 2) == "ms") {
      unit = absl::Milliseconds(1);
      i += 2;
    } else if (i < text.size()) {
      switch (text[i++]) {
        case 's':
          unit = absl::Seconds(1);
          break;
        case 'm':
          unit = absl::Minutes(1);
          break;
        case 'h':
          unit = absl::Hours(1);
          break;
        case 'd':
          unit = absl::Hours(24);
          break;
        default:
          return malformed;
      }
    } else {
      return malformed;
    }
    sum += unit * (number / scale);
    if (sum > kLongestDuration) return InvalidArgument("'{}' is longer than 100 years", text.substr(0, 64));
  }
  return sum;
}

std::string DurationText(absl::Duration duration) {
  if (duration < absl::ZeroDuration()) return "-" + DurationText(-duration);
  if (duration > kLongestDuration) return "infinite";
  int64_t milliseconds = absl::ToInt64Milliseconds(duration);
  std::string text;
  constexpr std::pair<int64_t, const char*> kUnits[] = {
      {86'400'000, "d"}, {3'600'000, "h"}, {60'000, "m"}, {1000, "s"}, {1, "ms"}};
  for (const auto& [size, unit] : kUnits) {
    if (milliseconds >= size) text += fmt::format("{}{}", milliseconds / size, unit);
    milliseconds %= size;
  }
  return text.empty() ? "0s" : text;
}

}  // namespace trustline
