// Times and durations as people write and read them on every surface. (absl::FormatTime and absl::FormatDuration give
// other forms; the names here differ, because both would be found for the same argument.)
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace trustline {

// RFC 3339 in UTC with milliseconds: "2026-11-22T19:51:00.123Z".
std::string TimeText(absl::Time time);
// RFC 3339 in UTC, whole seconds (rounded down): "2026-11-22T19:51:00Z".
std::string TimeTextSeconds(absl::Time time);

// RFC 3339 with a zone ("Z", "+02:00"), or without one: then in `zone`. The seconds, or the whole time of day, may be
// left out; a blank may stand for the 'T'. InvalidArgument otherwise.
absl::StatusOr<absl::Time> ParseTime(std::string_view text, absl::TimeZone zone);

// A sum of whole or decimal numbers with units ms, s, m, h, d: "90s", "1h30m", "30d", "500ms", or "0". Not negative;
// at most 100 years. InvalidArgument otherwise.
absl::StatusOr<absl::Duration> ParseDuration(std::string_view text);

// In the form that ParseDuration reads, to the millisecond: "1h30m", "30d", "500ms", "0s".
std::string DurationText(absl::Duration duration);

}  // namespace trustline
