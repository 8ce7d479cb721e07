#include "common/net/connection_limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
  EXPECT_EQ(limits.open_connections(), 2u);
  EXPECT_EQ(limits.Admit(Address("192.0.2.1"), a3), Verdict::kAdmitted);
}

TEST(ConnectionLimitsTest, ForgetsAddressesWithoutConnections) {
  ConnectionLimits limits(10, 1'000'000, {});
  ConnectionLimits::Slot kept;
  EXPECT_EQ(limits.Admit(Address("2001:db8::"), kept), Verdict::kAdmitted);
  for (int i = 0; i < 100'000; ++i) {
    ConnectionLimits::Slot slot;
    EXPECT_EQ(limits.Admit(Address(fmt::format("10.{}.{}.{}", i >> 16, i >> 8 & 255, i & 255)), slot),
              Verdict::kAdmitted);
  }
  EXPECT_LE(limits.tracked_addresses(), 1'024u);
  EXPECT_EQ(limits.open_connections(), 1u);
}

TEST(ConnectionLimitsTest, SlotsMayEndInOtherThreads) {
  ConnectionLimits limits(100'000, 1'000'000, {});
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
  EXPECT_EQ(limits.open_connections(), 0u);
}

}  // namespace
}  // namespace trustline
