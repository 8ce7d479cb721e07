#include "common/service/hours_of_day.h"

#include <string>

#include "absl/time/civil_time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;

absl::TimeZone Zone(const char* name) {
  absl::TimeZone zone;
  EXPECT_TRUE(absl::LoadTimeZone(name, &zone)) << name;
  return zone;
}

HoursOfDay Hours(const char* text) {
  const auto hours = HoursOfDay::Parse(text);
  EXPECT_OK(hours);
  return hours.value_or(HoursOfDay());
}

absl::Time Utc(int year, int month, int day, int hour, int minute, int second = 0) {
  return absl::FromCivil(absl::CivilSecond(year, month, day, hour, minute, second), absl::UTCTimeZone());
}

bool ContainsUtc(const HoursOfDay& hours, int hour, int minute, int second = 0) {
  return hours.Contain(Utc(2026, 3, 2, hour, minute, second), absl::UTCTimeZone());
}

// The minutes of real time from `begin` to `end` that are within the hours.
int MinutesWithin(const char* hours, absl::Time begin, absl::Time end, absl::TimeZone zone) {
  int minutes = 0;
  for (absl::Time time = begin; time < end; time += absl::Minutes(1)) {
    if (Hours(hours).Contain(time, zone)) ++minutes;
  }
  return minutes;
}

TEST(HoursOfDayTest, ReadsAndWrites) {
  const HoursOfDay hours = Hours("22:00-05:30");
  EXPECT_EQ(hours.from_minute(), 22 * 60);
  EXPECT_EQ(hours.until_minute(), 5 * 60 + 30);
  for (const char* text : {"22:00-05:30", "00:00-23:59", "09:05-17:00", ""}) EXPECT_EQ(Hours(text).ToText(), text);
  EXPECT_EQ(Hours("18:00-24:00").ToText(), "18:00-00:00");
}

TEST(HoursOfDayTest, RefusesWhatIsNoHours) {
  for (const char* text : {"22:00", "22:00-", "22-05", "22:00-5:00", "22:00-24:01", "25:00-05:00", "22:60-05:00",
                           "22:00 -05:00", "22:00-05:00 ", "22:00/05:00", "-2:00-05:00", "22.00-05.00", "always"}) {
    EXPECT_THAT(HoursOfDay::Parse(text), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("22:00-05:00")))
        << text;
  }
  // What somebody sends is not shown in full length.
  EXPECT_LT(HoursOfDay::Parse(std::string(10'000, '2')).status().message().size(), 200u);
  for (const auto& [from, until] : {std::pair(-1, 0), {0, 1440}, {1440, 0}, {0, -1}}) {
    EXPECT_THAT(HoursOfDay::Create(from, until), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_EQ(HoursOfDay::Create(1320, 330)->ToText(), "22:00-05:30");
}

TEST(HoursOfDayTest, ByDayTheEndBelongsNoLongerToThem) {
  const HoursOfDay hours = Hours("09:00-17:30");
  EXPECT_FALSE(ContainsUtc(hours, 8, 59, 59));
  EXPECT_TRUE(ContainsUtc(hours, 9, 0));
  EXPECT_TRUE(ContainsUtc(hours, 17, 29, 59));
  EXPECT_FALSE(ContainsUtc(hours, 17, 30));
  EXPECT_FALSE(ContainsUtc(hours, 0, 0));
}

TEST(HoursOfDayTest, AcrossMidnight) {
  const HoursOfDay hours = Hours("22:00-05:00");
  EXPECT_FALSE(ContainsUtc(hours, 21, 59, 59));
  EXPECT_TRUE(ContainsUtc(hours, 22, 0));
  EXPECT_TRUE(ContainsUtc(hours, 23, 59, 59));
  EXPECT_TRUE(ContainsUtc(hours, 0, 0));
  EXPECT_TRUE(ContainsUtc(hours, 4, 59, 59));
  EXPECT_FALSE(ContainsUtc(hours, 5, 0));
  EXPECT_FALSE(ContainsUtc(hours, 12, 0));

  const HoursOfDay evening = Hours("18:00-24:00");
  EXPECT_TRUE(ContainsUtc(evening, 23, 59, 59));
  EXPECT_FALSE(ContainsUtc(evening, 0, 0));
  const HoursOfDay night = Hours("00:00-06:00");
  EXPECT_TRUE(ContainsUtc(night, 0, 0));
  EXPECT_FALSE(ContainsUtc(night, 23, 59, 59));
}

TEST(HoursOfDayTest, EqualEndsAreAlways) {
  for (const char* text : {"", "00:00-24:00", "07:30-07:30"}) {
    EXPECT_EQ(MinutesWithin(text, Utc(2026, 3, 2, 0, 0), Utc(2026, 3, 3, 0, 0), absl::UTCTimeZone()), 24 * 60) << text;
    EXPECT_EQ(Hours(text).ToText(), "");
  }
}

TEST(HoursOfDayTest, InTheZoneOfTheCluster) {
  const HoursOfDay hours = Hours("22:00-05:00");
  // 21:30 in UTC is 22:30 in Berlin in winter, 23:30 in summer, and 16:30 in New York.
  EXPECT_TRUE(hours.Contain(Utc(2026, 1, 10, 21, 30), Zone("Europe/Berlin")));
  EXPECT_FALSE(hours.Contain(Utc(2026, 1, 10, 21, 30), absl::UTCTimeZone()));
  EXPECT_FALSE(hours.Contain(Utc(2026, 1, 10, 21, 30), Zone("America/New_York")));
  EXPECT_TRUE(hours.Contain(Utc(2026, 7, 10, 20, 0), Zone("Europe/Berlin")));
  EXPECT_FALSE(hours.Contain(Utc(2026, 1, 10, 20, 0), Zone("Europe/Berlin")));
  // Offsets need not be whole hours: 16:30 in UTC is 22:00 in Kolkata.
  EXPECT_FALSE(hours.Contain(Utc(2026, 1, 10, 16, 29), Zone("Asia/Kolkata")));
  EXPECT_TRUE(hours.Contain(Utc(2026, 1, 10, 16, 30), Zone("Asia/Kolkata")));
}

// On 2026-03-29 the clocks of Berlin go from 02:00 to 03:00 (01:00 in UTC), on 2026-10-25 from 03:00 back to 02:00.
TEST(HoursOfDayTest, WhenTheClocksChange) {
  const absl::TimeZone berlin = Zone("Europe/Berlin");
  const absl::Time spring = absl::FromCivil(absl::CivilDay(2026, 3, 28), berlin) + absl::Hours(12);
  const absl::Time autumn = absl::FromCivil(absl::CivilDay(2026, 10, 24), berlin) + absl::Hours(12);

  // The night is an hour shorter, and an hour longer; its ends stay where the wall's clock has them.
  EXPECT_EQ(MinutesWithin("22:00-05:00", spring, spring + absl::Hours(24), berlin), 6 * 60);
  EXPECT_EQ(MinutesWithin("22:00-05:00", autumn, autumn + absl::Hours(24), berlin), 8 * 60);
  const HoursOfDay night = Hours("22:00-05:00");
  EXPECT_TRUE(night.Contain(Utc(2026, 3, 29, 2, 59), berlin));
  EXPECT_FALSE(night.Contain(Utc(2026, 3, 29, 3, 0), berlin));
  EXPECT_TRUE(night.Contain(Utc(2026, 10, 25, 3, 59), berlin));
  EXPECT_FALSE(night.Contain(Utc(2026, 10, 25, 4, 0), berlin));

  // An hour that is skipped does not come, one that is repeated comes twice.
  EXPECT_EQ(MinutesWithin("02:10-02:40", spring, spring + absl::Hours(24), berlin), 0);
  EXPECT_EQ(MinutesWithin("02:10-02:40", autumn, autumn + absl::Hours(24), berlin), 60);
  EXPECT_EQ(MinutesWithin("01:30-03:30", spring, spring + absl::Hours(24), berlin), 60);
  EXPECT_EQ(MinutesWithin("01:30-03:30", autumn, autumn + absl::Hours(24), berlin), 180);
}

}  // namespace
}  // namespace trustline
