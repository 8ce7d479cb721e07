#include "provisioning/sip/report_rules.h"

#include "provisioning/sip/sip_testing.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::Contains;
using ::testing::Pair;

constexpr std::string_view kDevice = "SEP001122334455";
const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

// Who sends: a forwarder of everything at .1, of REFER alone at .2, of nothing but OPTIONS at .3, over UDP at .4, by
// certificate cm1.example; anybody else at .9.
class ReportRules : public ::testing::Test {
 protected:
  static Forwarders All(bool accept_claims) {
    return Forwarders(
        {{.name = "192.0.2.1", .is_network = true, .may_refer = true, .may_register = true, .may_options = true},
         {.name = "192.0.2.2", .is_network = true, .may_refer = true},
         {.name = "192.0.2.3", .is_network = true, .may_options = true},
         {.name = "192.0.2.4", .is_network = true, .may_refer = true, .may_register = true, .udp = true},
         {.name = "cm1.example", .may_refer = true, .may_register = true}},
        accept_claims);
  }

  ReportDecision Decide(const TestRequest& request, std::string_view address = "192.0.2.1",
                        SipTransport transport = SipTransport::kTcp) {
    const absl::StatusOr<SipRequest> read = ReadSipRequest(TestMessage(request.Text()));
    EXPECT_OK(read);
    return DecideReport(*read, {.address = *IpAddress::Parse(address), .transport = transport},
                        standing_ ? &*standing_ : nullptr, accept_claims_ ? &open_ : &closed_, kNow);
  }
  int Code(const TestRequest& request, std::string_view address = "192.0.2.1",
           SipTransport transport = SipTransport::kTcp) {
    const ReportDecision decision = Decide(request, address, transport);
    // A refusal stores nothing, and says in the log why.
    if (decision.answer.code >= 300) {
      EXPECT_FALSE(decision.report.has_value());
      EXPECT_FALSE(decision.why.empty());
    }
    return decision.answer.code;
  }
  std::string Basis(const TestRequest& request, std::string_view address, SipTransport transport = SipTransport::kTcp) {
    const ReportDecision decision = Decide(request, address, transport);
    if (!decision.report) return fmt::format("none, {}", decision.answer.code);
    constexpr std::string_view kNames[] = {"forwarder", "device", "claim"};
    return fmt::format("{} of {}", kNames[static_cast<size_t>(decision.report->basis)], decision.report->source);
  }

  const Forwarders open_ = All(true);
  const Forwarders closed_ = All(false);
  bool accept_claims_ = true;
  std::optional<CertificateStanding> standing_;
};

TEST_F(ReportRules, AReportOfAForwarderIsEvidence) {
  const ReportDecision decision = Decide(TestRefer());
  EXPECT_EQ(decision.answer.code, 202);
  EXPECT_THAT(decision.answer.headers, Contains(Pair("Refer-Sub", "false")));
  EXPECT_EQ(decision.alarm, AlarmKind::kTrustLists);
  ASSERT_TRUE(decision.report.has_value());
  const PhoneTrustReport& report = *decision.report;
  EXPECT_EQ(report.device, kDevice);
  EXPECT_EQ(report.event, PhoneTrustEvent::kLists);
  EXPECT_EQ(report.at, kNow);
  EXPECT_EQ(report.itl_signature, kTestItlSignature);
  EXPECT_EQ(report.itl_tftp_server, "tftp1.example");
  EXPECT_EQ(report.ctl_signature, "Not Installed");
  EXPECT_EQ(report.ctl_tftp_server, "N/A");
  EXPECT_EQ(report.address, "192.0.2.104");
  EXPECT_EQ(report.user_agent, "Cisco-CP8841/14.1.1");
  EXPECT_EQ(report.basis, ReportBasis::kForwarder);
  EXPECT_EQ(report.source, "192.0.2.1");
}

TEST_F(ReportRules, AReportOfAnybodyIsAClaimUnlessThoseAreClosed) {
  EXPECT_EQ(Basis(TestRefer(), "192.0.2.9"), "claim of 192.0.2.9");
  EXPECT_EQ(Code(TestRefer(), "192.0.2.9"), 202);
  accept_claims_ = false;
  EXPECT_EQ(Code(TestRefer(), "192.0.2.9"), 403);
  EXPECT_EQ(Code(TestRefer(), "192.0.2.1"), 202);
}

TEST_F(ReportRules, OverUdpAForwarderIsOneOnlyWhenItMayUseThat) {
  EXPECT_EQ(Basis(TestRefer(), "192.0.2.1", SipTransport::kUdp), "claim of 192.0.2.1");
  EXPECT_EQ(Basis(TestRefer(), "192.0.2.4", SipTransport::kUdp), "forwarder of 192.0.2.4");
  EXPECT_EQ(Code(TestRegister(), "192.0.2.1", SipTransport::kUdp), 403);
  EXPECT_EQ(Code(TestRegister(), "192.0.2.4", SipTransport::kUdp), 200);
}

TEST_F(ReportRules, WhatAForwarderMayNotSendIsForbidden) {
  EXPECT_EQ(Code(TestRefer(), "192.0.2.3"), 403);
  EXPECT_EQ(Code(TestRegister(), "192.0.2.2"), 403);
  EXPECT_EQ(Code({.method = "OPTIONS"}, "192.0.2.2"), 403);
  EXPECT_EQ(Code({.method = "OPTIONS"}, "192.0.2.3"), 200);
  // That comes before everything else that is wrong.
  TestRequest wrong = TestRefer("no alarm");
  wrong.more = {"Require: nothing-there-is"};
  wrong.content_type = "text/plain";
  EXPECT_EQ(Code(wrong, "192.0.2.3"), 403);
  EXPECT_EQ(Code(wrong, "192.0.2.1"), 420);
}

TEST_F(ReportRules, ACertificateWithARoleMayBeAForwarders) {
  standing_ = CertificateStanding{.valid = true, .has_role = true, .common_name = "cm1.example"};
  EXPECT_EQ(Basis(TestRefer(), "192.0.2.9", SipTransport::kTls), "forwarder of cm1.example");
  EXPECT_EQ(Code(TestRegister(), "192.0.2.9", SipTransport::kTls), 200);
  EXPECT_EQ(Code({.method = "OPTIONS"}, "192.0.2.9", SipTransport::kTls), 403);
  // What certificate and address allow is allowed.
  EXPECT_EQ(Basis(TestRefer(), "192.0.2.3", SipTransport::kTls), "forwarder of cm1.example");
  EXPECT_EQ(Code({.method = "OPTIONS"}, "192.0.2.3", SipTransport::kTls), 200);
  const CertificateStanding nobodies[] = {{.valid = false, .has_role = true, .common_name = "cm1.example"},
                                          {.valid = true, .has_role = false, .common_name = "cm1.example"},
                                          {.valid = true, .has_role = true, .common_name = "cm2.example"},
                                          {.valid = true, .has_role = true, .common_name = ""},
                                          {.valid = true, .has_role = true, .common_name = std::string(kDevice)}};
  for (const CertificateStanding& nobody : nobodies) {
    standing_ = nobody;
    EXPECT_EQ(Basis(TestRefer(), "192.0.2.9", SipTransport::kTls), "claim of 192.0.2.9");
    EXPECT_EQ(Code(TestRegister(), "192.0.2.9", SipTransport::kTls), 403);
  }
}

TEST_F(ReportRules, ADevicesCertificateIsEvidenceOfThatDeviceAlone) {
  standing_ = CertificateStanding{.valid = true, .has_role = false, .common_name = "sep001122334455"};
  EXPECT_EQ(Basis(TestRefer(), "192.0.2.9", SipTransport::kTls), "device of 192.0.2.9");
  TestRequest others = TestRefer(TrustListAlarm("SEPAABBCCDDEEFF"));
  others.contact = "";
  EXPECT_EQ(Basis(others, "192.0.2.9", SipTransport::kTls), "claim of 192.0.2.9");
  EXPECT_EQ(Code(TestRegister(), "192.0.2.9", SipTransport::kTls), 403);
  standing_->valid = false;
  EXPECT_EQ(Basis(TestRefer(), "192.0.2.9", SipTransport::kTls), "claim of 192.0.2.9");
}

TEST_F(ReportRules, WhenClaimsAreClosedADeviceMayStillReportItself) {
  accept_claims_ = false;
  EXPECT_EQ(Code(TestRefer(), "192.0.2.9", SipTransport::kTls), 403);
  EXPECT_EQ(Code(TestRefer("broken"), "192.0.2.9", SipTransport::kTls), 403);
  standing_ = CertificateStanding{.valid = true, .has_role = false, .common_name = std::string(kDevice)};
  EXPECT_EQ(Basis(TestRefer(), "192.0.2.9", SipTransport::kTls), "device of 192.0.2.9");
  // Also at the address of a forwarder that may not.
  EXPECT_EQ(Basis(TestRefer(), "192.0.2.3", SipTransport::kTls), "device of 192.0.2.3");
  EXPECT_EQ(Code(TestRefer(TrustListAlarm("SEPAABBCCDDEEFF")), "192.0.2.9", SipTransport::kTls), 403);
  EXPECT_EQ(Code(TestRefer("broken"), "192.0.2.9", SipTransport::kTls), 403);
}

TEST_F(ReportRules, ContactAndAlarmNameTheSameDevice) {
  TestRequest request = TestRefer(TrustListAlarm("SEPAABBCCDDEEFF"));
  for (const std::string_view address : {"192.0.2.1", "192.0.2.9"}) {
    EXPECT_EQ(Code(request, address), 400);
  }
  request.contact = "<sip:x@y>;+u.sip!devicename.ccm.cisco.com=\"sepaabbccddeeff\"";
  EXPECT_EQ(Code(request), 202);
  request.contact = "<sip:x@y>;+u.sip!devicename.ccm.cisco.com=\"nobody\"";
  EXPECT_EQ(Code(request), 400);
  request.contact = "<sip:SEP001122334455@y>";
  EXPECT_EQ(Code(request), 202);
  request.contact =
      "<sip:x@y>;+u.sip!devicename.ccm.cisco.com=\"SEPAABBCCDDEEFF\", "
      "<sip:x@y>;+u.sip!devicename.ccm.cisco.com=\"SEP001122334455\"";
  EXPECT_EQ(Code(request), 400);
}

TEST_F(ReportRules, OtherAlarmsAreAcceptedAndCountedAndNotStored) {
  for (const std::string_view address : {"192.0.2.1", "192.0.2.9"}) {
    const ReportDecision decision = Decide(TestRefer(OtherPhoneAlarm()), address);
    EXPECT_EQ(decision.answer.code, 202);
    EXPECT_EQ(decision.alarm, AlarmKind::kOther);
    EXPECT_FALSE(decision.report.has_value());
  }
}

TEST_F(ReportRules, AReferWithoutAnAlarmIsRefused) {
  EXPECT_EQ(Code(TestRefer("")), 400);
  EXPECT_EQ(Code(TestRefer("<x/>")), 400);
  EXPECT_EQ(Decide(TestRefer("<x/>")).alarm, AlarmKind::kUnreadable);
  TestRequest text = TestRefer();
  for (const std::string_view type :
       {"", "text/plain", "application/x-cisco-remotecc-request+xml", "multipart/mixed;boundary=x"}) {
    text.content_type = type;
    const ReportDecision decision = Decide(text);
    EXPECT_EQ(decision.answer.code, 415) << type;
    EXPECT_THAT(decision.answer.headers, Contains(Pair("Accept", "application/x-cisco-alarm+xml")));
  }
  TestRequest charset = TestRefer();
  charset.content_type = "application/x-cisco-alarm+xml;charset=UTF-8";
  EXPECT_EQ(Code(charset), 202);
  TestRequest zipped = TestRefer();
  zipped.more = {"Content-Encoding: gzip"};
  EXPECT_EQ(Code(zipped), 415);
}

TEST_F(ReportRules, ExtensionsThatThereAreNotAreNamed) {
  TestRequest request = TestRefer();
  request.more = {"Require: norefersub, 100rel", "Require: Path"};
  const ReportDecision decision = Decide(request);
  EXPECT_EQ(decision.answer.code, 420);
  EXPECT_THAT(decision.answer.headers, Contains(Pair("Unsupported", "100rel, path")));
  EXPECT_EQ(Code(TestRegister({"Require: outbound"})), 420);
}

TEST_F(ReportRules, AForwardedRegisterIsAnEvent) {
  const ReportDecision decision = Decide(TestRegister());
  EXPECT_EQ(decision.answer.code, 200);
  ASSERT_TRUE(decision.report.has_value());
  EXPECT_EQ(decision.report->device, kDevice);
  EXPECT_EQ(decision.report->event, PhoneTrustEvent::kRegistered);
  EXPECT_EQ(decision.report->basis, ReportBasis::kForwarder);
  EXPECT_EQ(decision.report->address, "192.0.2.104");
  EXPECT_EQ(Code(TestRegister(), "192.0.2.9"), 403);
}

TEST_F(ReportRules, WhatEndsARegistration) {
  const auto event = [&](std::string_view contact, std::vector<std::string> more) -> std::string {
    TestRequest request = TestRegister(std::move(more));
    request.contact = contact;
    const ReportDecision decision = Decide(request);
    if (!decision.report) return fmt::format("none, {}", decision.answer.code);
    return decision.report->event == PhoneTrustEvent::kUnregistered ? "unregistered" : "registered";
  };
  const std::string_view plain = "<sip:SEP001122334455@192.0.2.7>";
  EXPECT_EQ(event(plain, {}), "registered");
  EXPECT_EQ(event(plain, {"Expires: 3600"}), "registered");
  EXPECT_EQ(event(plain, {"Expires: 0"}), "unregistered");
  EXPECT_EQ(event(plain, {"Expires: 00"}), "unregistered");
  EXPECT_EQ(event(plain, {"Expires: nonsense"}), "registered");
  EXPECT_EQ(event("*", {"Expires: 0"}), "unregistered");
  EXPECT_EQ(event("*", {}), "unregistered");
  EXPECT_EQ(event("*", {"Expires: 60"}), "none, 400");
  EXPECT_EQ(event("*", {"Expires: 0", fmt::format("Contact: {}", plain)}), "none, 400");
  EXPECT_EQ(event("<sip:x@y>;expires=0", {}), "unregistered");
  EXPECT_EQ(event("<sip:x@y>;expires=0", {"Expires: 60"}), "unregistered");
  EXPECT_EQ(event("<sip:x@y>;expires=60", {"Expires: 0"}), "registered");
  EXPECT_EQ(event("<sip:x@y>;expires=0, <sip:z@y>;expires=60", {}), "registered");  // it has moved
  EXPECT_EQ(event("", {"Expires: 0"}), "unregistered");
  EXPECT_EQ(event("", {}), "none, 200");  // it only asks
}

TEST_F(ReportRules, TheDeviceOfARegistration) {
  const auto device = [&](std::string_view contact, std::string_view from, std::string_view to) -> std::string {
    const std::string text = fmt::format(
        "REGISTER sip:cm1 SIP/2.0\r\nVia: SIP/2.0/TCP a\r\nFrom: {};tag=1\r\nTo: {}\r\nCall-ID: 1\r\n"
        "CSeq: 1 REGISTER\r\nContact: {}\r\n\r\n",
        from, to, contact);
    const ReportDecision decision = DecideReport(
        *ReadSipRequest(TestMessage(text)),
        {.address = *IpAddress::Parse("192.0.2.1"), .transport = SipTransport::kTcp}, nullptr, &open_, kNow);
    return decision.report ? decision.report->device : fmt::format("none, {}", decision.answer.code);
  };
  const std::string_view named = "<sip:x@y>;+u.sip!devicename.ccm.cisco.com=\"sep00000000000a\"";
  EXPECT_EQ(device(named, "<sip:SEP00000000000B@x>", "<sip:SEP00000000000C@x>"), "SEP00000000000A");
  EXPECT_EQ(device("<sip:1001@y>", "<sip:1001@x>", "<sip:sep00000000000c@x>"), "SEP00000000000C");
  EXPECT_EQ(device("<sip:1001@y>", "<sip:SEP00000000000B@x>", "<sip:1001@x>"), "SEP00000000000B");
  EXPECT_EQ(device("<sip:SEP00000000000D@y>", "<sip:1001@x>", "<sip:1001@x>"), "SEP00000000000D");
  EXPECT_EQ(device("<sip:1001@y>", "<sip:1001@x>", "<sip:1001@x>"), "none, 400");
  EXPECT_EQ(device("<sip:x@y>;+u.sip!devicename.ccm.cisco.com=\"1001\"", "<sip:SEP00000000000B@x>", "<sip:a@x>"),
            "none, 400");
}

TEST_F(ReportRules, OptionsSaysWhatThereIs) {
  for (const std::string_view address : {"192.0.2.1", "192.0.2.9"}) {
    const ReportDecision decision = Decide({.method = "OPTIONS"}, address);
    EXPECT_EQ(decision.answer.code, 200);
    EXPECT_THAT(decision.answer.headers, Contains(Pair("Allow", "REFER, REGISTER, OPTIONS")));
    EXPECT_THAT(decision.answer.headers, Contains(Pair("Accept", "application/x-cisco-alarm+xml")));
  }
}

TEST_F(ReportRules, OtherMethodsAreNotAllowed) {
  for (const std::string_view method :
       {"INVITE", "BYE", "CANCEL", "SUBSCRIBE", "NOTIFY", "PUBLISH", "MESSAGE", "INFO", "refer", "X"}) {
    for (const std::string_view address : {"192.0.2.1", "192.0.2.9"}) {
      const ReportDecision decision = Decide({.method = std::string(method)}, address);
      EXPECT_EQ(decision.answer.code, 405) << method;
      EXPECT_THAT(decision.answer.headers, Contains(Pair("Allow", "REFER, REGISTER, OPTIONS")));
    }
  }
}

TEST_F(ReportRules, BeforeTheForwardersAreKnownPhonesComeAgain) {
  for (const TestRequest& request : {TestRefer(), TestRegister(), TestRequest{.method = "OPTIONS"}}) {
    const ReportDecision decision = DecideReport(*ReadSipRequest(TestMessage(request.Text())),
                                                 {.address = *IpAddress::Parse("192.0.2.1")}, nullptr, nullptr, kNow);
    EXPECT_EQ(decision.answer.code, 503);
    EXPECT_THAT(decision.answer.headers, Contains(Pair("Retry-After", "30")));
    EXPECT_FALSE(decision.report.has_value());
  }
}

TEST(ReportAnswers, OfWhatWentWrong) {
  EXPECT_EQ(RefusalOf(absl::UnimplementedError("SIP/3.0")).code, 505);
  EXPECT_EQ(RefusalOf(absl::InvalidArgumentError("no Via")).code, 400);
  EXPECT_EQ(RefusalOf(absl::InvalidArgumentError("no Via")).reason, "no Via");
  EXPECT_EQ(AnswerToUnstored(absl::UnavailableError("itld")).code, 503);
  EXPECT_THAT(AnswerToUnstored(absl::UnavailableError("itld")).headers, Contains(Pair("Retry-After", "30")));
  EXPECT_EQ(AnswerToUnstored(absl::InvalidArgumentError("x")).code, 400);
  EXPECT_EQ(AnswerToFlood().code, 503);
}

}  // namespace
}  // namespace trustline
