#include "provisioning/sip/report_datagrams.h"

#include "provisioning/sip/report_testing.h"
#include "provisioning/sip/sip_testing.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ReportDatagramsTest : public ::testing::Test, protected TestIntake {
 protected:
  void Receive(std::string_view datagram, std::string_view address = "192.0.2.1") {
    const ReportDatagrams handler(intake);
    handler(Peer{.address = std::string(address), .port = 40'000}, AsBytes(datagram),
            [this](std::string bytes) { replies.push_back(std::move(bytes)); });
  }
  std::string Codes() const {
    std::string all;
    for (const std::string& reply : replies) all += reply;
    return ResponseCodes(all);
  }

  std::vector<std::string> replies;
};

TEST_F(ReportDatagramsTest, AReportIsAnsweredOnceItIsStored) {
  desk.answers_at_once = false;
  Receive(TestRefer().Text());
  EXPECT_THAT(replies, IsEmpty());
  desk.AnswerAll();
  EXPECT_EQ(Codes(), "202");
  EXPECT_THAT(replies[0], HasSubstr("\r\nVia: SIP/2.0/TCP 192.0.2.104:5060;branch=z9hG4bK1;received=192.0.2.1\r\n"));
  EXPECT_EQ(desk.reports.at(0).basis, ReportBasis::kForwarder);
  Receive(TestRefer().Text());
  desk.AnswerAll(absl::UnavailableError("itld"));
  EXPECT_EQ(Codes(), "202 503");
}

TEST_F(ReportDatagramsTest, RportIsAnsweredWithThePort) {
  std::string text = TestRequest{.method = "OPTIONS"}.Text();
  text.insert(text.find(";branch"), ";rport");
  Receive(text);
  ASSERT_THAT(replies, SizeIs(1));
  EXPECT_THAT(replies[0], HasSubstr(";branch=z9hG4bK1;received=192.0.2.1;rport=40000\r\n"));
}

TEST_F(ReportDatagramsTest, AForgedAddressGivesNoEvidence) {
  Receive(TestRefer().Text(), "192.0.2.77");
  EXPECT_EQ(desk.reports.at(0).basis, ReportBasis::kNone);
  EXPECT_EQ(desk.reports.at(0).source, "192.0.2.77");
  Receive(TestRegister().Text(), "192.0.2.77");
  EXPECT_EQ(Codes(), "202 403");
}

TEST_F(ReportDatagramsTest, TheBodyIsWhatContentLengthSays) {
  TestRequest request = TestRefer();
  Receive(request.Text() + "what follows is discarded");
  request.says_length = false;
  Receive(request.Text());
  EXPECT_EQ(Codes(), "202 202");
  EXPECT_THAT(desk.reports, SizeIs(2));
  const std::string whole = TestRefer().Text();
  Receive(std::string_view(whole).substr(0, whole.size() - 1));
  std::string garbage = whole;
  garbage.replace(garbage.find("Content-Length: ") + 16, 1, "x");
  Receive(garbage);
  EXPECT_EQ(Codes(), "202 202 400 400");
}

TEST_F(ReportDatagramsTest, NoiseGetsNoAnswer) {
  using namespace std::string_view_literals;
  std::string response = TestRequest{}.Text();
  response.replace(0, response.find("\r\n"), "SIP/2.0 200 OK");
  for (const std::string_view noise : {""sv, "\r\n\r\n"sv, "\0\0\0\0"sv, "x"sv, "REFER x SIP/2.0\r\n\r\n"sv,
                                       "REFER x SIP/2.0\nVia: x\n\n"sv, std::string_view(response)}) {
    Receive(noise);
  }
  Receive(TestRequest{.method = "ACK"}.Text());
  Receive(std::string(60'000, 'a'));
  EXPECT_THAT(replies, IsEmpty());
  EXPECT_EQ(intake.statistics()->keep_alives, 2u);
  EXPECT_EQ(intake.statistics()->responses_ignored, 1u);
  Receive("\r\n\r\n" + TestRequest{.method = "OPTIONS"}.Text());
  EXPECT_EQ(Codes(), "200");
}

TEST_F(ReportDatagramsTest, AFloodIsDroppedWithoutAWord) {
  for (int i = 0; i < 500; ++i) Receive(TestRequest{.method = "OPTIONS"}.Text(), "192.0.2.9");
  EXPECT_THAT(replies, SizeIs(200));
  EXPECT_EQ(intake.statistics()->floods_refused, 300u);
  Receive(TestRequest{.method = "OPTIONS"}.Text(), "192.0.2.10");
  for (int i = 0; i < 500; ++i) Receive(TestRequest{.method = "OPTIONS"}.Text(), "192.0.2.1");
  EXPECT_THAT(replies, SizeIs(701));
}

TEST_F(ReportDatagramsTest, TheDeskMayAnswerWhenTheIntakeIsGone) {
  desk.answers_at_once = false;
  auto local = std::make_unique<ReportIntake>(desk, judge, forwarders, RequestPaceOptions{}, clock, log);
  ReportDatagrams{*local}(Peer{.address = "192.0.2.1", .port = 1}, AsBytes(TestRefer().Text()),
                          [this](std::string bytes) { replies.push_back(std::move(bytes)); });
  local.reset();
  desk.AnswerAll();
  EXPECT_EQ(Codes(), "202");
}

}  // namespace
}  // namespace trustline
