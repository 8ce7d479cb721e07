#include "capf/enrolment_rate.h"

#include <gtest/gtest.h>

namespace trustline {
namespace {

TEST(EnrolmentRateTest, ASecondHasItsNumberAndNoMore) {
  absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  EnrolmentRate rate(3, now);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(rate.Admits(now));
  EXPECT_FALSE(rate.Admits(now));
  now += absl::Seconds(1) / 3 + absl::Milliseconds(1);
  EXPECT_TRUE(rate.Admits(now));
  EXPECT_FALSE(rate.Admits(now));
  now -= absl::Hours(1);
  EXPECT_FALSE(rate.Admits(now)) << "a clock that was set back gives nothing";
  now += absl::Hours(2);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(rate.Admits(now));
  EXPECT_FALSE(rate.Admits(now)) << "a quiet hour allows no more than a second's number at once";
}

TEST(EnrolmentRateTest, OneAtLeastIsLetThrough) {
  const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  EnrolmentRate rate(0.1, now);
  EXPECT_TRUE(rate.Admits(now));
  EXPECT_FALSE(rate.Admits(now + absl::Seconds(9)));
  EXPECT_TRUE(rate.Admits(now + absl::Seconds(11)));
}

}  // namespace
}  // namespace trustline
