#include "cli/phone/list_report.h"

#include <functional>

#include "cli/phone/phone_life_testing.h"
#include "common/net/listener_test_support.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// A SIP server that gives one answer, whatever comes. "" closes the connection; nothing never answers.
class ListReportTest : public ListenerTest {
 protected:
  void StartWith(const std::optional<std::string>& answer) {
    StartServerWith({}, [this, answer](const Peer&) { return std::make_unique<Session>(*this, answer); });
  }
  absl::Status Send(const ListReport& report, std::chrono::milliseconds timeout = std::chrono::seconds(30)) {
    return SendListReport({"127.0.0.1", port()}, report, timeout);
  }
  std::string request() const {
    const std::lock_guard lock(mutex_);
    return request_;
  }

 private:
  class Session final : public PhoneSession {
   public:
    Session(ListReportTest& test, std::optional<std::string> answer) : test_(test), answer_(std::move(answer)) {}
    SessionActions OnBytes(ByteView bytes) override {
      const std::lock_guard lock(test_.mutex_);
      test_.request_ += AsText(bytes);
      if (!answer_ || !test_.request_.ends_with("</x-cisco-alarm>")) return {};
      return {.send = *answer_, .close = answer_->empty()};
    }
    SessionActions OnWaitDone() override { return {}; }

   private:
    ListReportTest& test_;
    const std::optional<std::string> answer_;
  };

  mutable std::mutex mutex_;
  std::string request_;
};

const ListReport kReport = {.device = "SEP001122334455",
                            .model = "8841",
                            .ctl = std::nullopt,
                            .itl = ReportedList{.sha1 = {0x1b, 0xa1, 0xc9}, .server = "a<b"}};

TEST_F(ListReportTest, IsTheAlarmInARefer) {
  StartWith("SIP/2.0 202 Accepted\r\nContent-Length: 0\r\n\r\n");
  ASSERT_OK(Send(kReport));
  const std::string sent = request();
  EXPECT_THAT(sent, StartsWith("REFER sip:127.0.0.1:"));
  const size_t end = sent.find("\r\n\r\n");
  ASSERT_NE(end, std::string::npos);
  const std::string body = sent.substr(end + 4);
  EXPECT_THAT(sent, AllOf(HasSubstr("Via: SIP/2.0/TCP 127.0.0.1:"), HasSubstr("\r\nRequire: norefersub\r\n"),
                          HasSubstr(";+u.sip!devicename.ccm.cisco.com=\"SEP001122334455\"\r\n"),
                          HasSubstr("\r\nContent-Type: application/x-cisco-alarm+xml\r\n"),
                          HasSubstr("\r\nContent-Length: " + std::to_string(body.size()) + "\r\n")));
  EXPECT_THAT(body, AllOf(HasSubstr("<Alarm Name=\"DeviceTLInfo\"><ParameterList>"),
                          HasSubstr("<String name=\"DeviceName\">SEP001122334455</String>"),
                          HasSubstr("<String name=\"IPv4Address\">127.0.0.1</String>"),
                          HasSubstr("<String name=\"CTL_Signature\">Not Installed</String>"),
                          HasSubstr("<String name=\"CTL_TFTP_Server\">N/A</String>"),
                          HasSubstr("<String name=\"ITL_Signature\">1B A1 C9 00 00 "),
                          HasSubstr("<String name=\"ITL_TFTP_Server\">a&lt;b</String>")));
}

TEST_F(ListReportTest, SaysWhyItWasNotStored) {
  StartWith("SIP/2.0 403 Forbidden\r\n\r\n");
  EXPECT_THAT(Send(kReport), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("SIP/2.0 403 Forbidden")));
}

TEST_F(ListReportTest, AnAnswerThatIsNoSipIsNone) {
  StartWith("HTTP/1.1 400 Bad Request\r\n\r\n");
  EXPECT_THAT(Send(kReport), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(ListReportTest, AnAnswerWithoutEndIsNone) {
  StartWith(std::string(20'000, 'x'));
  EXPECT_THAT(Send(kReport), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(ListReportTest, AClosedConnectionIsNoAnswer) {
  StartWith("");
  EXPECT_THAT(Send(kReport), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(ListReportTest, DoesNotWaitForEver) {
  StartWith(std::nullopt);
  EXPECT_THAT(Send(kReport, std::chrono::milliseconds(200)), StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST(ListReportOfTest, HasTheFilesChecksums) {
  const TrustList list = *DecodeTrustList(AsBytes(ReadVector("ITLFile-sha1.tlv")));
  const ListReport report = ListReport::Of(*DeviceName::Parse("sep001122334455"), "8845",
                                           {.ctl = std::nullopt, .itl = HeldList{.list = list, .server = "tftp1"}});
  EXPECT_EQ(report.device, "SEP001122334455");
  EXPECT_FALSE(report.ctl);
  EXPECT_EQ(report.itl->sha1, Sha1(AsBytes(ReadVector("ITLFile-sha1.tlv"))));
  EXPECT_EQ(report.itl->server, "tftp1");
}

}  // namespace
}  // namespace trustline
