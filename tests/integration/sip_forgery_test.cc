// Who is no forwarder says something of phones: it is shown as a claim, bounded, and changes nothing that is known.
#include <atomic>
#include <thread>

#include "tests/integration/sip_site.h"

namespace trustline {
namespace {

constexpr int kMostClaims = 10'000;  // docs/OPERATIONS.md
constexpr int kMostClaimsOfSource = 100;

class SipForgeryTest : public SipSiteTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(SipSiteTest::SetUp());
    AddDevices(1, 3);
    ASSERT_NO_FATAL_FAILURE(MakeOnlyForwarder("127.0.0.1"));
    ASSERT_EQ(Tcp().Ask(AlarmOf(DeviceNumber(1), CurrentHash())), 202);
  }
  // What is known of the first phone is what the forwarder said.
  void ExpectEvidenceUntouched() {
    EXPECT_EQ(Count(fmt::format("SELECT count(*) FROM phone WHERE device = '{}' AND via = 'forwarder 127.0.0.1' AND "
                                "reported_at IS NOT NULL AND encode(itl_sha1, 'hex') = '{}'",
                                DeviceNumber(1), Sha1Digits())),
              1);
    EXPECT_EQ(Count(fmt::format("SELECT count(*) FROM phone_history WHERE device = '{}'", DeviceNumber(1))), 1);
    EXPECT_EQ(Count("SELECT count(*) FROM phone WHERE reported_at IS NOT NULL OR registered IS NOT NULL"), 1);
  }
  std::string Sha1Digits() {
    std::string digits;
    for (const char c : CurrentHash()) {
      if (c != ' ') digits += static_cast<char>(std::tolower(c));
    }
    return digits;
  }
};

TEST_F(SipForgeryTest, OneForgedPacketIsAClaimBesideTheEvidence) {
  SipTestRequest forged = AlarmOf(DeviceNumber(1), "Not Installed");
  forged.transport = "UDP";
  EXPECT_EQ(Udp("127.0.0.66").Ask(forged), 202);
  EXPECT_EQ(Udp("127.0.0.66").Ask(AlarmOf(DeviceNumber(2), "Not Installed")), 202);

  const std::vector<boost::json::value> lines = ReportOf(DeviceNumber(1));
  ASSERT_EQ(lines.size(), 2);
  EXPECT_EQ(lines[0].at("status").as_string(), "Match");
  EXPECT_EQ(lines[0].at("basis").as_string(), "evidence");
  EXPECT_EQ(lines[0].at("via").as_string(), "forwarder 127.0.0.1");
  EXPECT_EQ(lines[1].at("status").as_string(), "Not Installed");
  EXPECT_EQ(lines[1].at("basis").as_string(), "claim");
  EXPECT_EQ(lines[1].at("claimed_from").as_string(), "127.0.0.66");
  // Of a phone of which nothing else is known, too.
  EXPECT_EQ(ReportOf(DeviceNumber(2)).at(0).at("status").as_string(), "Unknown");
  EXPECT_EQ(DoJson({"phones", "report", "--evidence"}).as_array().size(), 1);
  ASSERT_NO_FATAL_FAILURE(ExpectEvidenceUntouched());

  // Nor can anybody unregister a phone.
  EXPECT_EQ(Udp("127.0.0.66").Ask(RegistrationOf(DeviceNumber(1), 0)), 403);
  ASSERT_NO_FATAL_FAILURE(ExpectEvidenceUntouched());
}

TEST_F(SipForgeryTest, AForwarderWithoutUdpSaysNothingThere) {
  Do({"forwarder", "add", "127.0.0.5"});
  ASSERT_NO_FATAL_FAILURE(WaitUntilForwarder("127.0.0.5", true));
  EXPECT_EQ(Udp("127.0.0.5").Ask(AlarmOf(DeviceNumber(1), "Not Installed")), 202);
  ASSERT_NO_FATAL_FAILURE(ExpectEvidenceUntouched());
  EXPECT_EQ(Tcp("127.0.0.5").Ask(AlarmOf(DeviceNumber(3), "Not Installed")), 202);
  EXPECT_EQ(StatusOf(DeviceNumber(3)), "Not Installed evidence");
}

TEST_F(SipForgeryTest, TenThousandInventedNamesAreBounded) {
  // 1. One address, within its pace.
  std::string burst;
  constexpr int kOfOne = 150;
  for (int n = 0; n < kOfOne; ++n) burst += AlarmOf(DeviceNumber(900'000 + n), "Not Installed").Text();
  SipPeer one = Tcp("127.0.0.77");
  ASSERT_TRUE(one.Send(burst));
  for (int n = 0; n < kOfOne; ++n) ASSERT_EQ(one.ReadCode(), 202);
  EXPECT_EQ(Count("SELECT count(*) FROM phone_claim WHERE source = '127.0.0.77'"), kMostClaimsOfSource);

  // 2. Many addresses.
  constexpr int kAddresses = 120;
  int name = 1'000'000;
  for (int address = 1; address <= kAddresses; ++address) {
    burst.clear();
    for (int n = 0; n < kMostClaimsOfSource; ++n) burst += AlarmOf(DeviceNumber(name++), "Not Installed").Text();
    SipPeer peer = Tcp(fmt::format("127.0.1.{}", address));
    ASSERT_TRUE(peer.Send(burst));
    for (int n = 0; n < kMostClaimsOfSource; ++n) ASSERT_EQ(peer.ReadCode(), 202);
  }
  EXPECT_EQ(Count("SELECT count(*) FROM phone_claim"), kMostClaims);
  ASSERT_NO_FATAL_FAILURE(ExpectEvidenceUntouched());
  EXPECT_EQ(Count("SELECT count(*) FROM device"), 3);
  EXPECT_EQ(Count("SELECT count(*) FROM phone"), 3);
  const boost::json::value summary = DoJson({"phones", "report", "--summary"});
  EXPECT_EQ(summary.at("claims").as_int64(), kMostClaims);
  EXPECT_EQ(summary.at("phones").as_int64(), 3);
}

TEST_F(SipForgeryTest, ClosedClaimsAreForbidden) {
  Do({"forwarder", "claims", "refuse"});
  ASSERT_TRUE(WaitUntil([&] { return Tcp("127.0.0.66").Ask(AlarmOf(DeviceNumber(2), "Not Installed")) == 403; }));
  const int64_t before = Count("SELECT count(*) FROM phone_claim WHERE source = '127.0.0.67'");
  EXPECT_EQ(Udp("127.0.0.67").Ask(AlarmOf(DeviceNumber(1), "Not Installed")), 403);
  EXPECT_EQ(Count("SELECT count(*) FROM phone_claim WHERE source = '127.0.0.67'"), before);
  ASSERT_NO_FATAL_FAILURE(ExpectEvidenceUntouched());
  EXPECT_EQ(Tcp().Ask(AlarmOf(DeviceNumber(3), "Not Installed")), 202);
  EXPECT_EQ(StatusOf(DeviceNumber(3)), "Not Installed evidence");
}

TEST_F(SipForgeryTest, AForwarderIsHeardDuringAFlood) {
  constexpr int kPhones = 500;
  AddDevices(1'001, 1'000 + kPhones);
  std::atomic<bool> is_over = false;
  std::atomic<int64_t> sent = 0;
  std::thread flood([&] {
    const std::string packet = AlarmOf(DeviceNumber(1), "Not Installed").Text();
    SipPeer udp = Udp("127.0.0.99");
    while (!is_over) sent += udp.Send(packet) ? 1 : 0;
  });
  const std::string floods = "trustline_sip_floods_refused_total{cluster=\"default\"}";
  EXPECT_TRUE(WaitUntil([&] { return Metric(*provisiond_, floods) > 0; }));
  const int64_t sent_before = sent;
  SipPeer forwarder = Tcp();
  int accepted = 0;
  for (int n = 1'001; n <= 1'000 + kPhones; ++n) {
    accepted += forwarder.Ask(AlarmOf(DeviceNumber(n), "Not Installed")) == 202 ? 1 : 0;
  }
  EXPECT_GT(sent, sent_before);
  is_over = true;
  flood.join();
  EXPECT_EQ(accepted, kPhones);
  EXPECT_EQ(Count("SELECT count(*) FROM phone WHERE via = 'forwarder 127.0.0.1' AND device > 'SEP000000001000'"),
            kPhones);
  EXPECT_LE(Count("SELECT count(*) FROM phone_claim WHERE source = '127.0.0.99'"), 1);
}

}  // namespace
}  // namespace trustline
