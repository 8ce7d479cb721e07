#include "common/net/connection_limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>

namespace trustline {
namespace {

using Verdict = ConnectionLimits::Verdict;

IpAddress Address(std::string_view text) {
  auto address = IpAddress::Parse(text);
  EXPECT_TRUE(address.ok()) << address.status();
  return *address;
}

bool Contains(std::string_view network, std::string_view address) {
  auto parsed = IpNetwork::Parse(network);
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return parsed->Contains(Address(address));
}

TEST(IpAddressTest, WritesMappedIpv4AsIpv4) {
  EXPECT_EQ(Address("::ffff:192.0.2.1"), Address("192.0.2.1"));
  EXPECT_EQ(Address("::ffff:192.0.2.1").ToText(), "192.0.2.1");
  EXPECT_EQ(Address("2001:DB8::1").ToText(), "2001:db8::1");
  EXPECT_EQ(EndpointText("2001:db8::1", 2445), "[2001:db8::1]:2445");
  EXPECT_EQ(EndpointText("192.0.2.1", 2445), "192.0.2.1:2445");
}

TEST(IpAddressTest, RefusesWhatIsNotAnAddress) {
  for (const char* text : {"", "192.0.2", "192.0.2.256", "phone", "[::1]", "::1%lo", "2001:db8::1::"}) {
    EXPECT_FALSE(IpAddress::Parse(text).ok()) << text;
  }
}

TEST(IpNetworkTest, ContainsByPrefix) {
  EXPECT_TRUE(Contains("192.0.2.0/24", "192.0.2.255"));
  EXPECT_FALSE(Contains("192.0.2.0/24", "192.0.3.0"));
  EXPECT_TRUE(Contains("192.0.2.8/29", "192.0.2.15"));
  EXPECT_FALSE(Contains("192.0.2.8/29", "192.0.2.16"));
  EXPECT_TRUE(Contains("192.0.2.1", "192.0.2.1"));
  EXPECT_FALSE(Contains("192.0.2.1", "192.0.2.2"));
  EXPECT_TRUE(Contains("2001:db8::/32", "2001:db8:ffff::1"));
  EXPECT_FALSE(Contains("2001:db8::/32", "2001:db9::"));
  EXPECT_TRUE(Contains("0.0.0.0/0", "203.0.113.9"));
  EXPECT_FALSE(Contains("0.0.0.0/0", "2001:db8::1"));
  EXPECT_TRUE(Contains("::/0", "2001:db8::1"));
}

TEST(IpNetworkTest, RefusesSlips) {
  for (const char* text : {"", "/24", "192.0.2.0/", "192.0.2.0/33", "192.0.2.0/-1", "192.0.2.0/24x", "192.0.2.1/24",
                           "2001:db8::/129", "2001:db8::1/64"}) {
    EXPECT_FALSE(IpNetwork::Parse(text).ok()) << text;
  }
}

TEST(ConnectionLimitsTest, CountsByAddressAndInTotal) {
  ConnectionLimits limits(2, 3, {});
  ConnectionLimits::Slot a1, a2, a3, b1, b2;
  EXPECT_EQ(limits.Admit(Address("192.0.2.1"), a1), Verdict::kAdmitted);
  EXPECT_EQ(limits.Admit(Address("192.0.2.1"), a2), Verdict::kAdmitted);
  EXPECT_EQ(limits.Admit(Address("192.0.2.1"), a3), Verdict::kAddressCap);
  EXPECT_EQ(limits.Admit(Address("192.0.2.2"), b1), Verdict::kAdmitted);
  EXPECT_EQ(limits.Admit(Address("192.0.2.2"), b2), Verdict::kTotalCap);
  { const ConnectionLimits::Slot ended = std::move(a1); }
  EXPECT_EQ(limits.Admit(Address("192.0.2.1"), a3), Verdict::kAdmitted);
  EXPECT_EQ(limits.Admit(Address("192.0.2.2"), b2), Verdict::kTotalCap);
}

TEST(ConnectionLimitsTest, TheAddressesOfAnIpv6NetworkCountAsOne) {
  auto exempt = IpNetwork::Parse("2001:db8:0:2::7");
  ASSERT_TRUE(exempt.ok()) << exempt.status();
  ConnectionLimits limits(2, 100, {*exempt});
  ConnectionLimits::Slot slots[6];
  EXPECT_EQ(limits.Admit(Address("2001:db8::1"), slots[0]), Verdict::kAdmitted);
  EXPECT_EQ(limits.Admit(Address("2001:db8::ffff:ffff:ffff:ffff"), slots[1]), Verdict::kAdmitted);
  EXPECT_EQ(limits.Admit(Address("2001:db8::2"), slots[2]), Verdict::kAddressCap);
  EXPECT_EQ(limits.Admit(Address("2001:db8:0:1::2"), slots[2]), Verdict::kAdmitted);
  // IPv4 addresses are apart, mapped or not, and so are exempt ones from the rest of their network.
  EXPECT_EQ(limits.Admit(Address("192.0.2.1"), slots[3]), Verdict::kAdmitted);
  EXPECT_EQ(limits.Admit(Address("::ffff:192.0.2.1"), slots[4]), Verdict::kAdmitted);
  EXPECT_EQ(limits.Admit(Address("192.0.2.1"), slots[5]), Verdict::kAddressCap);
  EXPECT_EQ(limits.Admit(Address("192.0.2.2"), slots[5]), Verdict::kAdmitted);
  for (int i = 0; i < 5; ++i) {
    ConnectionLimits::Slot slot;
    EXPECT_EQ(limits.Admit(Address("2001:db8:0:2::7"), slot), Verdict::kAdmitted);
  }
}

TEST(ConnectionLimitsTest, ForgetsOnlyAddressesWithoutConnections) {
  ConnectionLimits limits(1, 2, {});
  ConnectionLimits::Slot kept;
  EXPECT_EQ(limits.Admit(Address("2001:db8::"), kept), Verdict::kAdmitted);
  const size_t before = mallinfo2().uordblks;
  for (int i = 0; i < 100'000; ++i) {
    ConnectionLimits::Slot slot;
    EXPECT_EQ(limits.Admit(Address(fmt::format("10.{}.{}.{}", i >> 16, i >> 8 & 255, i & 255)), slot),
              Verdict::kAdmitted);
  }
  // An address takes more than 50 bytes (nothing is counted where a sanitizer replaces the allocator).
  EXPECT_LT(mallinfo2().uordblks, before + 1'000'000);
  ConnectionLimits::Slot second;
  EXPECT_EQ(limits.Admit(Address("2001:db8::"), second), Verdict::kAddressCap);
}

TEST(ConnectionLimitsTest, SlotsMayEndInOtherThreads) {
  ConnectionLimits limits(100'000, 2'001, {});
  for (int round = 0; round < 20; ++round) {
    std::vector<ConnectionLimits::Slot> slots(2'000);
    for (size_t i = 0; i < slots.size(); ++i) {
      EXPECT_EQ(limits.Admit(Address(fmt::format("10.{}.{}.1", round, i % 250)), slots[i]), Verdict::kAdmitted);
    }
    std::thread ender([slots = std::move(slots)]() mutable { slots.clear(); });
    ConnectionLimits::Slot meanwhile;
    EXPECT_EQ(limits.Admit(Address("192.0.2.1"), meanwhile), Verdict::kAdmitted);
    ender.join();
  }
  // All have been given back: as many as before fit.
  std::vector<ConnectionLimits::Slot> slots(2'001);
  for (ConnectionLimits::Slot& slot : slots) EXPECT_EQ(limits.Admit(Address("192.0.2.1"), slot), Verdict::kAdmitted);
}

}  // namespace
}  // namespace trustline
