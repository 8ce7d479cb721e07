#include "provisioning/sip/request_pace.h"

#include "gtest/gtest.h"
#include "tests/support/fake_clock.h"

namespace trustline {
namespace {

IpAddress Address(std::string_view text) { return *IpAddress::Parse(text); }

int Admitted(RequestPace& pace, std::string_view address, int requests) {
  int admitted = 0;
  for (int i = 0; i < requests; ++i) admitted += pace.Admit(Address(address)) ? 1 : 0;
  return admitted;
}

TEST(RequestPace, ABurstAndThenSoManyASecond) {
  FakeClock clock(absl::UnixEpoch());
  RequestPace pace({.per_second = 50, .burst = 200}, clock);
  EXPECT_EQ(Admitted(pace, "192.0.2.1", 1'000), 200);
  clock.Advance(absl::Milliseconds(100));
  EXPECT_EQ(Admitted(pace, "192.0.2.1", 1'000), 5);
  clock.Advance(absl::Hours(1));
  EXPECT_EQ(Admitted(pace, "192.0.2.1", 1'000), 200);
  // A clock that is set back gives nothing, and takes nothing away for longer than a moment.
  clock.Advance(-absl::Hours(2));
  EXPECT_EQ(Admitted(pace, "192.0.2.1", 10), 0);
  clock.Advance(absl::Seconds(1));
  EXPECT_EQ(Admitted(pace, "192.0.2.1", 1'000), 50);
}

TEST(RequestPace, EachHostHasItsOwn) {
  FakeClock clock(absl::UnixEpoch());
  RequestPace pace({.per_second = 1, .burst = 3}, clock);
  EXPECT_EQ(Admitted(pace, "192.0.2.1", 5), 3);
  EXPECT_EQ(Admitted(pace, "192.0.2.2", 5), 3);
  // One host has all addresses of a /64.
  EXPECT_EQ(Admitted(pace, "2001:db8::1", 2), 2);
  EXPECT_EQ(Admitted(pace, "2001:db8::2", 2), 1);
  EXPECT_EQ(Admitted(pace, "2001:db8:0:1::1", 5), 3);
}

TEST(RequestPace, TheOneThatWasSilentForLongestIsForgotten) {
  FakeClock clock(absl::UnixEpoch());
  RequestPace pace({.per_second = 0, .burst = 1, .most_remembered = 3}, clock);
  for (const std::string_view address : {"192.0.2.1", "192.0.2.2", "192.0.2.3"}) {
    EXPECT_EQ(Admitted(pace, address, 1), 1);
  }
  EXPECT_EQ(Admitted(pace, "192.0.2.1", 1), 0);  // now .2 is the oldest
  EXPECT_EQ(Admitted(pace, "192.0.2.4", 1), 1);
  EXPECT_EQ(pace.remembered(), 3u);
  EXPECT_EQ(Admitted(pace, "192.0.2.1", 1), 0);
  EXPECT_EQ(Admitted(pace, "192.0.2.3", 1), 0);
  EXPECT_EQ(Admitted(pace, "192.0.2.2", 1), 1);
}

TEST(RequestPace, TenThousandAddressesAreBounded) {
  FakeClock clock(absl::UnixEpoch());
  RequestPace pace({.most_remembered = 100}, clock);
  for (int i = 0; i < 10'000; ++i) pace.Admit(Address(fmt::format("10.0.{}.{}", i / 256, i % 256)));
  EXPECT_EQ(pace.remembered(), 100u);
}

}  // namespace
}  // namespace trustline
