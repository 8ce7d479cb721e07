// Hours of the day within which waves of work begin.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace trustline {

// From a minute of the day until another one, which no longer belongs to it; across midnight when that is the earlier
// one; always when they are equal. By the clock on the wall: what the clock skips in spring does not come that day, and
// what it repeats in autumn comes twice.
class HoursOfDay {
 public:
  // Always.
  HoursOfDay() = default;
  // "22:00-05:00", up to "24:00"; always when empty. InvalidArgument for anything else.
  static absl::StatusOr<HoursOfDay> Parse(std::string_view text);
  // Minutes from 0 to 1439, as the database keeps them.
  static absl::StatusOr<HoursOfDay> Create(int32_t from_minute, int32_t until_minute);

  int32_t from_minute() const { return from_minute_; }
  int32_t until_minute() const { return until_minute_; }
  // As Parse reads it; empty: always.
  std::string ToText() const;

  bool Contain(absl::Time time, absl::TimeZone zone) const;

  bool operator==(const HoursOfDay&) const = default;

 private:
  HoursOfDay(int32_t from_minute, int32_t until_minute) : from_minute_(from_minute), until_minute_(until_minute) {}

  int32_t from_minute_ = 0;
  int32_t until_minute_ = 0;
};

}  // namespace trustline
