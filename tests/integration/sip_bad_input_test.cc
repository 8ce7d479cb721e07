// What no phone sends, at the sockets of the real provisiond: it is refused or ignored, and the next request is
// answered.
#include <boost/json/value.hpp>

#include "tests/integration/sip_site.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class SipBadInputTest : public SipSiteTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(SipSiteTest::SetUp());
    AddDevices(1, 9);
  }
  // A good report is stored, over both transports.
  void ExpectNextIsAnswered() {
    EXPECT_EQ(Tcp().Ask(AlarmOf(DeviceNumber(9), "Not Installed")), 202);
    EXPECT_EQ(Udp().Ask(AlarmOf(DeviceNumber(9), "Not Installed")), 202);
  }
  static std::string Replaced(std::string text, std::string_view from, std::string_view to) {
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return at == std::string::npos ? text : text.replace(at, from.size(), to);
  }
  int AskWithBody(const std::string& body) {
    SipTestRequest request = AlarmOf(DeviceNumber(1), "Not Installed");
    request.body = body;
    return Tcp().Ask(request);
  }
  void ExpectNothingIsKnownOfTheFirst() {
    EXPECT_EQ(StatusOf(DeviceNumber(1)), "Unknown");
    EXPECT_EQ(Count("SELECT count(*) FROM phone_claim"), 0);
  }
};

TEST_F(SipBadInputTest, BrokenSip) {
  const std::string good = AlarmOf(DeviceNumber(1), "Not Installed").Text();
  const std::string bad[] = {
      std::string(1, '\0'),
      "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
      "\x16\x03\x01\x02\x05",  // TLS to the plain port
      Replaced(good, "SIP/2.0\r\n", "SIP/9.0\r\n"),
      Replaced(good, "Call-ID:", "Call ID:"),
      Replaced(good, "CSeq:", "X-CSeq:"),
      Replaced(good, "From: <sip:", "From: <sip:\x01"),
      Replaced(good, "Content-Length: ", "Content-Length: -"),
      Replaced(good, "Content-Length: ", "Content-Length: 9999999999999999999999"),
      Replaced(good, "Content-Length: ", "Content-Length: 1\r\nContent-Length: "),
      Replaced(good, "\r\nTo: ", "\nTo: "),
      Replaced(good, "User-Agent: Cisco", "User-Agent: " + std::string(20'000, 'x')),
      Replaced(good, "User-Agent: Cisco-CP8845/12.8.1\r\n",
               [] {
                 std::string lines;
                 for (int i = 0; i < 1'000; ++i) lines += "X: 1\r\n";
                 return lines;
               }()),
      good.substr(0, good.size() / 2),
  };
  for (const std::string& bytes : bad) {
    SCOPED_TRACE(bytes.substr(0, 40));
    SipPeer tcp = Tcp();
    ASSERT_TRUE(tcp.Send(bytes));
    SipPeer udp = Udp();
    ASSERT_TRUE(udp.Send(bytes));
    ASSERT_NO_FATAL_FAILURE(ExpectNextIsAnswered());
  }
  ASSERT_NO_FATAL_FAILURE(ExpectNothingIsKnownOfTheFirst());
  EXPECT_GT(Metric(*provisiond_, "trustline_sip_malformed_total{cluster=\"default\"}"), 10);
}

TEST_F(SipBadInputTest, WhatCannotBeFollowedIsRefusedAndTheConnectionEnds) {
  SipPeer peer = Tcp();
  ASSERT_TRUE(peer.Send(
      Replaced(AlarmOf(DeviceNumber(1), "Not Installed").Text(), "Content-Length: ", "Content-Length: 99999")));
  const std::string answer = peer.ReadToEnd();
  EXPECT_THAT(answer, AllOf(StartsWith("SIP/2.0 400 "), HasSubstr("body is longer")));
  ASSERT_NO_FATAL_FAILURE(ExpectNextIsAnswered());
}

TEST_F(SipBadInputTest, EndlessBytesAreNotKept) {
  const ByteView unit = AsBytes(std::string_view("0123456789abcdef"));
  std::string megabyte;
  while (megabyte.size() < size_t{1} << 20) megabyte += AsText(unit);
  ASSERT_OK_AND_ASSIGN(const int64_t before, provisiond_->ResidentBytes());
  for (const std::string& begin : {std::string("REFER sip:"), std::string("REFER sip:a SIP/2.0\r\nVia: "),
                                   Replaced(AlarmOf(DeviceNumber(1), "").Text(), "<?xml", "<?xml" + megabyte)}) {
    SipPeer peer = Tcp();
    // It closes long before all of it was taken.
    bool is_open = peer.Send(begin);
    for (int i = 0; i < 64 && is_open; ++i) is_open = peer.Send(megabyte);
    EXPECT_FALSE(is_open);
    ASSERT_NO_FATAL_FAILURE(ExpectNextIsAnswered());
  }
  ASSERT_OK_AND_ASSIGN(const int64_t after, provisiond_->ResidentBytes());
  EXPECT_LT(after - before, int64_t{32} << 20);
  // The greatest datagram that there is.
  constexpr size_t kGreatest = 65'507;
  std::string greatest = AlarmOf(DeviceNumber(1), "Not Installed").Text();
  greatest.resize(kGreatest, ' ');
  SipPeer udp = Udp();
  ASSERT_TRUE(udp.Send(greatest));
  ASSERT_NO_FATAL_FAILURE(ExpectNextIsAnswered());
}

TEST_F(SipBadInputTest, BrokenXml) {
  const std::string good = TrustListAlarmBody(DeviceNumber(1), "Not Installed");
  std::string nested;
  for (int i = 0; i < 2'000; ++i) nested += "<a>";
  const std::string bad[] = {
      "<",
      "no XML",
      good.substr(0, good.size() / 2),
      nested,
      Replaced(good, "<x-cisco-alarm>", "<x-cisco-alarm>" + nested),
      // External entities, and those that grow.
      Replaced(good, "?>\n", "?>\n<!DOCTYPE a [<!ENTITY e SYSTEM \"file:///etc/passwd\">]>\n"),
      Replaced(Replaced(good, "?>\n", "?>\n<!DOCTYPE a [<!ENTITY e SYSTEM \"http://127.0.0.1:1/\">]>\n"),
               "Not Installed", "&e;"),
      Replaced(good, "?>\n", "?>\n<!DOCTYPE a [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]>\n"),
      Replaced(good, "Not Installed", "&e;"),
      Replaced(good, "UTF-8", "UTF-16"),
      Replaced(good, "Not Installed", "\xff\xfe"),
      Replaced(good, "Not Installed", std::string(1'000, '0')),
      Replaced(good, "<String name=\"DeviceName\">", "<String name=\"ITL_Signature\">"),
      Replaced(good, DeviceNumber(1), "SEP00000000000G; DROP TABLE phone"),
      Replaced(good, DeviceNumber(1), ""),
      // Another phone's than the Contact's.
      Replaced(good, DeviceNumber(1), DeviceNumber(2)),
  };
  for (const std::string& body : bad) {
    SCOPED_TRACE(body.substr(0, 120));
    EXPECT_EQ(AskWithBody(body), 400);
  }
  ASSERT_NO_FATAL_FAILURE(ExpectNextIsAnswered());
  ASSERT_NO_FATAL_FAILURE(ExpectNothingIsKnownOfTheFirst());
  EXPECT_EQ(StatusOf(DeviceNumber(2)), "Unknown");
}

TEST_F(SipBadInputTest, HashesOfOtherLengthsAreUnknownAndCounted) {
  const std::string unreadable = "trustline_phone_reports_unreadable_total";
  ASSERT_EQ(Metric(*itld_, unreadable), 0);
  int n = 0;
  for (const int bytes : {16, 32, 64}) {
    const std::string device = DeviceNumber(++n);
    // What was known before does not outlive a report that cannot be read.
    EXPECT_EQ(Tcp().Ask(AlarmOf(device, CurrentHash())), 202);
    EXPECT_EQ(StatusOf(device), "Match evidence");
    EXPECT_EQ(Tcp().Ask(AlarmOf(device, HexPairs(std::string(static_cast<size_t>(bytes), '\x5a')))), 202);
    EXPECT_EQ(StatusOf(device), "Unknown evidence") << bytes;
    EXPECT_EQ(Metric(*itld_, unreadable), n) << bytes;
  }
  EXPECT_EQ(DoJson({"phones", "report", "--summary"}).at("unusable_reports").as_int64(), 3);
}

TEST_F(SipBadInputTest, NamesInLowerCaseAreTheSamePhones) {
  EXPECT_EQ(Tcp().Ask(AlarmOf("sep000000000003", CurrentHash(), "TFTP1")), 202);
  EXPECT_EQ(StatusOf(DeviceNumber(3)), "Match evidence");
  EXPECT_EQ(Tcp().Ask(RegistrationOf("sep000000000003", 0)), 200);
  EXPECT_EQ(StatusOf(DeviceNumber(3)), "Unknown");
  EXPECT_EQ(Count("SELECT count(*) FROM phone_claim"), 0);
}

TEST_F(SipBadInputTest, OtherMethodsAndOtherAlarms) {
  EXPECT_EQ(Tcp().Ask({.method = "OPTIONS"}), 200);
  EXPECT_EQ(Tcp().Ask({.method = "INVITE"}), 405);
  EXPECT_EQ(Tcp().Ask({.method = "NOTIFY"}), 405);
  EXPECT_EQ(AskWithBody("<x-cisco-alarm><Alarm Name=\"LastOutOfServiceInformation\"><ParameterList/></Alarm>"
                        "</x-cisco-alarm>"),
            202);
  EXPECT_EQ(Metric(*provisiond_, "trustline_sip_alarms_total{cluster=\"default\",kind=\"other\"}"), 1);
  ASSERT_NO_FATAL_FAILURE(ExpectNothingIsKnownOfTheFirst());
}

}  // namespace
}  // namespace trustline
