#include "common/service/time_text.h"

#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

absl::Time Utc(int year, int month, int day, int hour = 0, int minute = 0, int second = 0) {
  return absl::FromCivil(absl::CivilSecond(year, month, day, hour, minute, second), absl::UTCTimeZone());
}

TEST(TimeTextTest, FormatsInUtc) {
  const absl::Time time = Utc(2026, 11, 22, 19, 51, 7) + absl::Milliseconds(45);
  EXPECT_EQ(TimeText(time), "2026-11-22T19:51:07.045Z");
  EXPECT_EQ(TimeTextSeconds(time), "2026-11-22T19:51:07Z");
}

TEST(TimeTextTest, ReadsRfc3339) {
  const absl::TimeZone utc = absl::UTCTimeZone();
  EXPECT_THAT(ParseTime("2026-11-22T19:51:07Z", utc), IsOkAndHolds(Utc(2026, 11, 22, 19, 51, 7)));
  EXPECT_THAT(ParseTime("2026-11-22t19:51:07.25z", utc),
              IsOkAndHolds(Utc(2026, 11, 22, 19, 51, 7) + absl::Milliseconds(250)));
  EXPECT_THAT(ParseTime("2026-11-22T19:51:07+02:00", utc), IsOkAndHolds(Utc(2026, 11, 22, 17, 51, 7)));
  EXPECT_THAT(ParseTime("2026-11-22T23:51:07-05:30", utc), IsOkAndHolds(Utc(2026, 11, 23, 5, 21, 7)));
}

TEST(TimeTextTest, WithoutAZoneItIsInTheGivenOne) {
  absl::TimeZone berlin;
  ASSERT_TRUE(absl::LoadTimeZone("Europe/Berlin", &berlin));
  EXPECT_THAT(ParseTime("2026-07-01T12:00:00", berlin), IsOkAndHolds(Utc(2026, 7, 1, 10)));
  EXPECT_THAT(ParseTime("2026-12-01 12:00", berlin), IsOkAndHolds(Utc(2026, 12, 1, 11)));
  EXPECT_THAT(ParseTime("2026-12-01", berlin), IsOkAndHolds(Utc(2026, 11, 30, 23)));
}

TEST(TimeTextTest, RefusesWhatIsNoTime) {
  for (const char* text :
       {"", "now", "2026-13-01", "2026-02-29", "2026-11-22T24:00:00Z", "2026-11-22T10:60:00Z", "2026-11-22T10:00:00Zx",
        "2026-11-22T", "2026-11-22T10", "2026-11-22T10:00:00+25:00", "2026-11-22T10:00:00.Z", "26-11-22"}) {
    EXPECT_THAT(ParseTime(text, absl::UTCTimeZone()), StatusIs(kInvalid)) << text;
  }
}

TEST(TimeTextTest, ReadsDurations) {
  EXPECT_THAT(ParseDuration("90s"), IsOkAndHolds(absl::Seconds(90)));
  EXPECT_THAT(ParseDuration("24h"), IsOkAndHolds(absl::Hours(24)));
  EXPECT_THAT(ParseDuration("30d"), IsOkAndHolds(absl::Hours(720)));
  EXPECT_THAT(ParseDuration("500ms"), IsOkAndHolds(absl::Milliseconds(500)));
  EXPECT_THAT(ParseDuration("1h30m"), IsOkAndHolds(absl::Minutes(90)));
  EXPECT_THAT(ParseDuration("1.5h"), IsOkAndHolds(absl::Minutes(90)));
  EXPECT_THAT(ParseDuration("0"), IsOkAndHolds(absl::ZeroDuration()));
  for (const char* text : {"", "5", "h", "-1h", "1 h", "1x", "1h-", "1..5h", "99999999999999999999d", "."}) {
    EXPECT_THAT(ParseDuration(text), StatusIs(kInvalid)) << text;
  }
}

TEST(TimeTextTest, WritesDurationsAsTheyAreRead) {
  EXPECT_EQ(DurationText(absl::Minutes(90)), "1h30m");
  EXPECT_EQ(DurationText(absl::Hours(720)), "30d");
  EXPECT_EQ(DurationText(absl::Milliseconds(1500)), "1s500ms");
  EXPECT_EQ(DurationText(absl::ZeroDuration()), "0s");
  EXPECT_EQ(DurationText(absl::InfiniteDuration()), "infinite");
}

}  // namespace
}  // namespace trustline
