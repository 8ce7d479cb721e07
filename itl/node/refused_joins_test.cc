#include "itl/node/refused_joins.h"

#include <fmt/format.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace trustline {
namespace {

using ::testing::Optional;

const absl::Time kStart = absl::FromUnixSeconds(1'796'083'200);

TEST(RefusedJoinsTest, APeerIsItsAddress) {
  EXPECT_EQ(PeerAddress("ipv4:192.0.2.1:40000"), "ipv4:192.0.2.1");
  EXPECT_EQ(PeerAddress("ipv6:%5B2001:db8::1%5D:40000"), "ipv6:%5B2001:db8::1%5D");
  EXPECT_EQ(PeerAddress("unix:/run/a"), "unix:/run/a");
  EXPECT_EQ(PeerAddress(""), "");
}

TEST(RefusedJoinsTest, TenAMinuteOfAPeer) {
  RefusedJoins joins;
  for (int i = 0; i < 10; ++i) {
    EXPECT_THAT(joins.Admit(fmt::format("ipv4:192.0.2.1:{}", i), kStart + absl::Seconds(i)), Optional(0)) << i;
  }
  for (int i = 0; i < 5; ++i) EXPECT_EQ(joins.Admit("ipv4:192.0.2.1:99", kStart + absl::Seconds(59)), std::nullopt);
  // Another peer is not hindered, and its row tells what was left out.
  EXPECT_THAT(joins.Admit("ipv4:192.0.2.2:1", kStart + absl::Seconds(59)), Optional(5));
  // Each row frees its place a minute after it, not all at once.
  EXPECT_THAT(joins.Admit("ipv4:192.0.2.1:99", kStart + absl::Seconds(60)), Optional(0));
  EXPECT_EQ(joins.Admit("ipv4:192.0.2.1:99", kStart + absl::Seconds(60)), std::nullopt);
  EXPECT_THAT(joins.Admit("ipv4:192.0.2.1:99", kStart + absl::Seconds(61)), Optional(1));
}

TEST(RefusedJoinsTest, AHundredAMinuteOfAll) {
  RefusedJoins joins;
  int audited = 0;
  for (int i = 0; i < 1000; ++i) audited += joins.Admit(fmt::format("ipv4:10.0.{}.1:1", i), kStart).has_value();
  EXPECT_EQ(audited, 100);
  EXPECT_THAT(joins.Admit("ipv4:192.0.2.1:1", kStart + absl::Minutes(1)), Optional(900));
}

TEST(RefusedJoinsTest, AClockThatIsSetBackDoesNotBlock) {
  RefusedJoins joins;
  for (int i = 0; i < 11; ++i) joins.Admit("ipv4:192.0.2.1:1", kStart);
  EXPECT_THAT(joins.Admit("ipv4:192.0.2.1:1", kStart - absl::Hours(1)), Optional(1));
}

}  // namespace
}  // namespace trustline
