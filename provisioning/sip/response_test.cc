#include "provisioning/sip/response.h"

#include "provisioning/sip/request.h"
#include "provisioning/sip/sip_testing.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

IpAddress Address(std::string_view text) { return *IpAddress::Parse(text); }

std::string FirstViaAfter(std::string_view via, std::string_view source, uint16_t port) {
  std::optional<SipAnswerHead> head = SipAnswerHead::Of(TestMessage(
      fmt::format("OPTIONS x SIP/2.0\r\nVia: {}\r\nFrom: f\r\nTo: t\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n\r\n", via)));
  head->SetSource(Address(source), port);
  const std::string response = head->Response({});
  const size_t begin = response.find("Via: ") + 5;
  return response.substr(begin, response.find("\r\n", begin) - begin);
}

TEST(SipResponse, CopiesWhatRfc3261Says) {
  const std::optional<SipAnswerHead> head = SipAnswerHead::Of(TestMessage(
      "REFER sip:x SIP/2.0\r\nv: SIP/2.0/TCP a;branch=z9hG4bK1;x=\"a,b;rport\"\r\nTo: \"A \\\" B\" <sip:t;tag=7>\r\n"
      "Via: SIP/2.0/UDP b, SIP/2.0/UDP c\r\nf: <sip:f>;tag=1\r\ni: id@x\r\nCSeq: 00012 REFER\r\n"
      "Via: SIP/2.0/UDP d\r\n\r\n"));
  ASSERT_TRUE(head.has_value());
  EXPECT_THAT(head->Response({.code = 405, .headers = {{"Allow", "REFER"}}}),
              MatchesRegex("SIP/2\\.0 405 Method Not Allowed\r\n"
                           "Via: SIP/2\\.0/TCP a;branch=z9hG4bK1;x=\"a,b;rport\"\r\n"
                           "Via: SIP/2\\.0/UDP b, SIP/2\\.0/UDP c\r\n"
                           "Via: SIP/2\\.0/UDP d\r\n"
                           "From: <sip:f>;tag=1\r\n"
                           "To: \"A \\\\\" B\" <sip:t;tag=7>;tag=[0-9a-f]+\r\n"
                           "Call-ID: id@x\r\n"
                           "CSeq: 00012 REFER\r\n"
                           "Allow: REFER\r\n"
                           "Server: Trustline\r\n"
                           "Content-Length: 0\r\n\r\n"));
}

TEST(SipResponse, ATagThatIsThereStays) {
  for (const std::string_view to : {"<sip:t>;tag=abc", "sip:t;tag=abc", "<sip:t> ;x=\";\" ; TAG = abc"}) {
    const auto head = SipAnswerHead::Of(TestMessage(
        fmt::format("REFER x SIP/2.0\r\nVia: v\r\nFrom: f\r\nTo: {}\r\nCall-ID: c\r\nCSeq: 1 REFER\r\n\r\n", to)));
    EXPECT_THAT(head->Response({}), HasSubstr(fmt::format("\r\nTo: {}\r\n", to)));
  }
  // The same request gets the same tag, another one another.
  const std::string first = SipAnswerHead::Of(TestMessage(TestRequest{}.Text()))->Response({});
  EXPECT_EQ(first, SipAnswerHead::Of(TestMessage(TestRequest{}.Text()))->Response({}));
  const auto tag = [](const std::string& response) {
    return response.substr(response.find("example>;tag=", response.find("To: ")), 30);
  };
  EXPECT_NE(tag(first), tag(SipAnswerHead::Of(TestMessage(TestRequest{.number = "2"}.Text()))->Response({})));
}

TEST(SipResponse, SaysWhereTheRequestCameFrom) {
  EXPECT_EQ(FirstViaAfter("SIP/2.0/UDP 192.0.2.1:5060;branch=z", "192.0.2.1", 1),
            "SIP/2.0/UDP 192.0.2.1:5060;branch=z");
  EXPECT_EQ(FirstViaAfter("SIP/2.0/UDP 192.0.2.1:5060;branch=z;rport", "192.0.2.1", 4711),
            "SIP/2.0/UDP 192.0.2.1:5060;branch=z;received=192.0.2.1;rport=4711");
  EXPECT_EQ(FirstViaAfter("SIP/2.0/UDP 10.1.1.1:4540;rport;branch=z", "192.0.2.1", 9988),
            "SIP/2.0/UDP 10.1.1.1:4540;branch=z;received=192.0.2.1;rport=9988");
  EXPECT_EQ(FirstViaAfter("SIP/2.0/TCP phone.example", "192.0.2.1", 1), "SIP/2.0/TCP phone.example;received=192.0.2.1");
  EXPECT_EQ(FirstViaAfter("SIP/2.0/UDP a;received=198.51.100.1;rport=22;x=\";rport\"", "192.0.2.1", 1),
            "SIP/2.0/UDP a;x=\";rport\";received=192.0.2.1;rport=1");
  EXPECT_EQ(FirstViaAfter("SIP/2.0/TCP [2001:db8:0::1]:5060;branch=z", "2001:db8::1", 1),
            "SIP/2.0/TCP [2001:db8:0::1]:5060;branch=z");
  EXPECT_EQ(FirstViaAfter("SIP/2.0/TCP [2001:db8::1];rport, SIP/2.0/UDP b;rport", "2001:db8::2", 7),
            "SIP/2.0/TCP [2001:db8::1];received=2001:db8::2;rport=7, SIP/2.0/UDP b;rport");
  // What is no Via does no harm.
  for (const std::string_view via : {";", ";;;", "\"", "[", "x [", "x []", ",", "\\", ";\"\\", "a;rport;rport"}) {
    EXPECT_THAT(FirstViaAfter(via, "192.0.2.1", 1), HasSubstr("received=192.0.2.1")) << via;
  }
}

TEST(SipResponse, NothingOfAClientBecomesALine) {
  SipAnswer answer{.code = 420, .reason = "bad\r\nX-Evil: 1\x01\xff"};
  answer.headers.emplace_back("Unsupported", "a\r\n\r\nSIP/2.0 200 OK");
  const std::string response = SipAnswerHead::Of(TestMessage(TestRequest{}.Text()))->Response(answer);
  EXPECT_THAT(response, HasSubstr("SIP/2.0 420 bad??X-Evil: 1??\r\n"));
  EXPECT_THAT(response, HasSubstr("Unsupported: a????SIP/2.0 200 OK\r\n"));
  EXPECT_EQ(response.find("\r\n\r\n"), response.size() - 4);

  // Over the lines that are copied: a line end in one is refused before, a folded one is one line.
  const std::string folded =
      "REFER x SIP/2.0\r\nVia: v\r\nFrom: f\r\n X-Evil: 1\r\nTo: t\r\nCall-ID: c\r\nCSeq: 1 REFER\r\n\r\n";
  EXPECT_THAT(SipAnswerHead::Of(TestMessage(folded))->Response({}), HasSubstr("\r\nFrom: f X-Evil: 1\r\nTo: t;tag"));
  for (const std::string_view end : {"\r", "\n", "\n\r", "\r\r\n"}) {
    EXPECT_THAT(ReadSipHead(fmt::format("REFER x SIP/2.0\r\nFrom: f{}X-Evil: 1\r\n\r\n", end)), Not(IsOk()));
  }
}

TEST(SipResponse, SomeThingsGetNone) {
  EXPECT_FALSE(SipAnswerHead::Of(TestMessage(TestRequest{.method = "ACK"}.Text())).has_value());
  std::string response = TestRequest{}.Text();
  response.replace(0, response.find("\r\n"), "SIP/2.0 200 OK");
  EXPECT_FALSE(SipAnswerHead::Of(TestMessage(response)).has_value());
  const std::string text = TestRequest{}.Text();
  for (const std::string_view name : {"Via", "From", "To", "Call-ID", "CSeq"}) {
    std::string without = text;
    without.replace(without.find(fmt::format("\r\n{}: ", name)) + 2, name.size(), "X");
    EXPECT_FALSE(SipAnswerHead::Of(TestMessage(without)).has_value()) << name;
  }
}

}  // namespace
}  // namespace trustline
