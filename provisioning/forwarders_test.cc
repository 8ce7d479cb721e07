#include "provisioning/forwarders.h"

#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

IpAddress Address(std::string_view text) { return *IpAddress::Parse(text); }

std::string NameAt(const Forwarders& forwarders, std::string_view address,
                   SipTransport transport = SipTransport::kTcp) {
  const Forwarder* forwarder = forwarders.AtAddress(Address(address), transport);
  return forwarder == nullptr ? "nobody" : forwarder->name;
}

TEST(Forwarders, AnAddressIsThatOfTheMostSpecificNetwork) {
  const Forwarders forwarders({{.name = "0.0.0.0/0", .is_network = true, .udp = true},
                               {.name = "192.0.2.0/24", .is_network = true, .udp = true},
                               {.name = "192.0.2.7", .is_network = true},
                               {.name = "2001:db8::/32", .is_network = true},
                               {.name = "2001:db8:1::/48", .is_network = true}},
                              true);
  EXPECT_EQ(NameAt(forwarders, "192.0.2.7"), "192.0.2.7");
  EXPECT_EQ(NameAt(forwarders, "192.0.2.8"), "192.0.2.0/24");
  EXPECT_EQ(NameAt(forwarders, "198.51.100.1"), "0.0.0.0/0");
  EXPECT_EQ(NameAt(forwarders, "2001:db8:1::1"), "2001:db8:1::/48");
  EXPECT_EQ(NameAt(forwarders, "2001:db8:2::1"), "2001:db8::/32");
  EXPECT_EQ(NameAt(forwarders, "2001:db9::1"), "nobody");  // 0.0.0.0/0 are the IPv4 addresses only
}

TEST(Forwarders, Ipv4PrefixesAreAsLongAsTheyAreInTheFormOfBoth) {
  // "::/64" contains the IPv4 addresses in their IPv6 form.
  const Forwarders forwarders({{.name = "::/64", .is_network = true}, {.name = "10.0.0.0/8", .is_network = true}},
                              true);
  EXPECT_EQ(NameAt(forwarders, "10.1.1.1"), "10.0.0.0/8");
  EXPECT_EQ(NameAt(forwarders, "11.1.1.1"), "::/64");
}

TEST(Forwarders, OverUdpOnlyThoseThatMayUseIt) {
  const Forwarders forwarders({{.name = "192.0.2.0/24", .is_network = true, .udp = true},
                               {.name = "192.0.2.7", .is_network = true},
                               {.name = "127.0.0.0/8", .is_network = true, .udp = true}},
                              true);
  EXPECT_EQ(NameAt(forwarders, "127.0.0.1", SipTransport::kUdp), "127.0.0.0/8");
  EXPECT_EQ(NameAt(forwarders, "192.0.2.8", SipTransport::kUdp), "192.0.2.0/24");
  EXPECT_EQ(NameAt(forwarders, "192.0.2.7", SipTransport::kUdp), "nobody");
  EXPECT_EQ(NameAt(forwarders, "192.0.2.7", SipTransport::kTls), "192.0.2.7");
  EXPECT_TRUE(forwarders.IsForwarder(Address("192.0.2.7")));
  EXPECT_FALSE(forwarders.IsForwarder(Address("192.0.3.7")));
}

TEST(Forwarders, CommonNamesAreNoAddressesAndAddressesNoCommonNames) {
  const Forwarders forwarders({{.name = "cm1.example"},
                               {.name = "192.0.2.1"},
                               {.name = "192.0.2.2", .is_network = true},
                               {.name = "192.0.2.1/24", .is_network = true},  // bits after the prefix: left out
                               {.name = "nonsense", .is_network = true}},
                              false);
  ASSERT_NE(forwarders.OfCertificate("cm1.example"), nullptr);
  EXPECT_EQ(forwarders.OfCertificate("cm1.example")->name, "cm1.example");
  EXPECT_EQ(forwarders.OfCertificate("cm1"), nullptr);
  EXPECT_EQ(forwarders.OfCertificate(""), nullptr);
  EXPECT_EQ(forwarders.OfCertificate("192.0.2.2"), nullptr);
  EXPECT_EQ(NameAt(forwarders, "192.0.2.1"), "nobody");
  EXPECT_EQ(NameAt(forwarders, "192.0.2.2"), "192.0.2.2");
  EXPECT_FALSE(forwarders.accept_claims());
  EXPECT_TRUE(Forwarders({}, true).accept_claims());
}

}  // namespace
}  // namespace trustline
