#include "provisioning/sip/request.h"

#include "provisioning/sip/sip_testing.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

absl::StatusOr<SipRequest> Read(const std::string& text) { return ReadSipRequest(TestMessage(text)); }

TEST(SipRequest, OfAPhone) {
  ASSERT_OK_AND_ASSIGN(const SipRequest request, Read(TestRefer("<x/>").Text()));
  EXPECT_EQ(request.method, "REFER");
  EXPECT_EQ(request.uri_host, "cm1.example");
  EXPECT_EQ(request.from_user, "SEP001122334455");
  EXPECT_EQ(request.to_user, "");
  EXPECT_EQ(request.call_id, "call-1@192.0.2.104");
  EXPECT_EQ(request.user_agent, "Cisco-CP8841/14.1.1");
  EXPECT_THAT(request.require, ElementsAre("norefersub"));
  EXPECT_EQ(request.content_type, "application/x-cisco-alarm+xml");
  EXPECT_EQ(request.body, "<x/>");
  EXPECT_EQ(request.expires, std::nullopt);
  ASSERT_THAT(request.contacts, SizeIs(1));
  EXPECT_EQ(request.contacts[0].user, "u");
  EXPECT_EQ(request.contacts[0].host, "192.0.2.104");
  EXPECT_EQ(request.contacts[0].device_name, "SEP001122334455");
}

TEST(SipRequest, CompactFormsQuotesAndIpv6) {
  ASSERT_OK_AND_ASSIGN(
      const SipRequest request,
      Read("REGISTER sip:[2001:db8::1] SIP/2.0\r\nv: SIP/2.0/TLS [2001:db8::2]:5061;branch=z9hG4bK1, SIP/2.0/UDP b\r\n"
           "f: \"Doe, J;tag=x\" <sip:%53EP001122334455@[2001:db8::1]:5061;transport=tcp>;tag=1\r\n"
           "t: sip:a@[2001:db8::1]\r\ni: 1\r\nCSeq: 4711 REGISTER\r\n"
           "m: <sip:u@[2001:db8::2]:5061>;+U.SIP!DEVICENAME.ccm.cisco.com=sep001122334455;Expires=\"0\", <sip:v@c>\r\n"
           "Expires: 60\r\nRequire: path,\r\n gruu ,NoReferSub\r\nc: Application/X-Cisco-Alarm+XML; "
           "charset=\"utf-8\"\r\n"
           "e: gzip\r\n\r\n"));
  EXPECT_EQ(request.uri_host, "2001:db8::1");
  EXPECT_EQ(request.from_user, "SEP001122334455");
  EXPECT_EQ(request.to_user, "a");
  EXPECT_EQ(request.content_type, "application/x-cisco-alarm+xml");
  EXPECT_TRUE(request.is_encoded);
  EXPECT_EQ(request.expires, "60");
  EXPECT_THAT(request.require, ElementsAre("path", "gruu", "norefersub"));
  ASSERT_THAT(request.contacts, SizeIs(2));
  EXPECT_EQ(request.contacts[0].host, "2001:db8::2");
  EXPECT_EQ(request.contacts[0].device_name, "sep001122334455");
  EXPECT_EQ(request.contacts[0].expires, "0");
  EXPECT_EQ(request.contacts[1].expires, std::nullopt);
  EXPECT_EQ(request.contacts[1].user, "v");
}

TEST(SipRequest, AWildcardIsNoAddress) {
  TestRequest request = TestRegister({"Expires: 0"});
  request.contact = "*";
  ASSERT_OK_AND_ASSIGN(const SipRequest read, Read(request.Text()));
  ASSERT_THAT(read.contacts, SizeIs(1));
  EXPECT_TRUE(read.contacts[0].is_wildcard);
}

TEST(SipRequest, MustHaveEachOfItsLinesOnce) {
  const std::string text = TestRequest{}.Text();
  for (const std::string_view name : {"Via", "From", "To", "Call-ID", "CSeq"}) {
    const size_t begin = text.find(fmt::format("\r\n{}: ", name)) + 2;
    const size_t end = text.find("\r\n", begin) + 2;
    std::string without = text;
    without.erase(begin, end - begin);
    EXPECT_THAT(Read(without), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("missing"))) << name;
    std::string twice = text;
    twice.insert(begin, text.substr(begin, end - begin));
    if (name == "Via") {
      EXPECT_OK(Read(twice));
    } else {
      EXPECT_THAT(Read(twice), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("2 header fields"))) << name;
    }
  }
}

TEST(SipRequest, WhatCannotBeReadIsRefused) {
  const std::string text = TestRequest{}.Text();
  const std::pair<std::string_view, std::string_view> damages[] = {
      {"REFER sip:cm1.example SIP/2.0", "REFER SIP/2.0"},
      {"REFER sip:cm1.example SIP/2.0", "REFER sip:cm1.example"},
      {"REFER sip:cm1.example SIP/2.0", "HELLO"},
      {"CSeq: 1 REFER", "CSeq: 1 INVITE"},
      {"CSeq: 1 REFER", "CSeq: x REFER"},
      {"CSeq: 1 REFER", "CSeq: 99999999999 REFER"},
      {"CSeq: 1 REFER", "CSeq: REFER"},
      {"Via: SIP/2.0/TCP 192.0.2.104:5060", "Via: what"},
      {"From: <sip:SEP001122334455@cm1.example>", "From: <sip:SEP001122334455@cm1.example"},
      {"Call-ID: call-1@192.0.2.104", "Call-ID: "},
      {"Contact: <sip:u@192.0.2.104:5060>", "Contact: <sip:u@192.0.2.104:5060"},
  };
  for (const auto& [before, after] : damages) {
    std::string damaged = text;
    damaged.replace(damaged.find(before), before.size(), after);
    EXPECT_THAT(Read(damaged), StatusIs(absl::StatusCode::kInvalidArgument)) << after;
  }
  std::string newer = text;
  newer.replace(newer.find("SIP/2.0\r\n"), 7, "SIP/3.0");
  EXPECT_THAT(Read(newer), StatusIs(absl::StatusCode::kUnimplemented));
}

TEST(SipRequest, LinesThatAreNotNeededMayBeMalformed) {
  EXPECT_OK(
      Read(TestRequest{.more = {"Authorization: Digest ,,=", "Route: <<<", "Allow-Events: ;;;", "Accept: /"}}.Text()));
}

TEST(SipRequest, ListsAreBounded) {
  TestRequest contacts{.more = {}};
  for (int i = 0; i < 40; ++i) contacts.more.push_back(fmt::format("Contact: <sip:{}@x>", i));
  EXPECT_THAT(Read(contacts.Text()), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("contacts")));
  TestRequest tags{.more = {"Require: a"}};
  for (int i = 0; i < 40; ++i) tags.more[0] += ",a";
  EXPECT_THAT(Read(tags.Text()), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("extensions")));
  for (const std::string& agent : {std::string(5'000, 'a'), std::string(5'000, '\xff')}) {
    ASSERT_OK_AND_ASSIGN(const SipRequest request, Read(TestRequest{.more = {"User-Agent: " + agent}}.Text()));
    EXPECT_LE(request.user_agent.size(), 256u);
    EXPECT_GT(request.user_agent.size(), 250u);
    EXPECT_TRUE(request.user_agent.starts_with(agent[0] == 'a' ? "aaa" : "\xEF\xBF\xBD"));
  }
}

}  // namespace
}  // namespace trustline
