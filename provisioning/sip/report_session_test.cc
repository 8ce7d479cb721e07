#include "provisioning/sip/report_session.h"

#include <thread>

#include "provisioning/sip/report_testing.h"
#include "provisioning/sip/sip_testing.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

Peer At(std::string_view address, std::string_view certificate = "") {
  Peer peer{.address = std::string(address), .port = 40'000, .listener = "sip"};
  if (!certificate.empty()) peer.certificate = std::make_shared<const std::string>(certificate);
  return peer;
}

// A connection with a socket layer that does what common/net/session.h says.
class Connection {
 public:
  Connection(ReportIntake& intake, const Peer& peer, SipTransport transport = SipTransport::kTcp)
      : session_(std::make_unique<ReportSession>(intake, peer, transport)) {}

  void Send(std::string_view bytes, size_t piece = 16'384) {
    ASSERT_FALSE(is_waiting());
    while (!bytes.empty() && !is_closed && !is_waiting()) {
      Perform(session_->OnBytes(AsBytes(bytes.substr(0, piece))));
      bytes.remove_prefix(std::min(piece, bytes.size()));
    }
    if (!is_closed && !is_waiting()) Perform(session_->OnDrained());
  }
  // What the worker does once `done` has been called.
  void GoOn() {
    while (is_waiting() && *done_) {
      done_ = nullptr;
      Perform(session_->OnWaitDone());
    }
  }
  void Break() { session_.reset(); }
  bool is_waiting() const { return done_ != nullptr; }
  std::string TakeSent() { return std::exchange(sent, {}); }

  std::string sent;
  int writes = 0;
  int patience = 0;
  int renewals = 0;
  bool is_closed = false;

 private:
  void Perform(const SessionActions& actions) {
    patience += actions.patient ? 1 : 0;
    renewals += actions.renew_deadline ? 1 : 0;
    writes += actions.send.empty() ? 0 : 1;
    sent += actions.send;
    is_closed = actions.close;
    if (is_closed || !actions.wait_for) return;
    done_ = std::make_shared<bool>(false);
    actions.wait_for([done = done_] { *done = true; });
    GoOn();
  }

  std::unique_ptr<ReportSession> session_;
  std::shared_ptr<bool> done_;
};

class ReportSessionTest : public ::testing::Test, protected TestIntake {};

std::string Refers(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) {
    TestRequest request = TestRefer();
    request.number = std::to_string(i);
    text += request.Text();
  }
  return text;
}

TEST_F(ReportSessionTest, ManyRequestsInOnePieceAreAnsweredInOrderInOneWrite) {
  Connection connection(intake, At("192.0.2.1"));
  const std::string stream = TestRefer().Text() + TestRequest{.method = "OPTIONS"}.Text() + TestRegister().Text() +
                             TestRequest{.method = "INVITE"}.Text() + TestRefer("broken").Text();
  connection.Send(stream);
  EXPECT_EQ(ResponseCodes(connection.sent), "202 200 200 405 400");
  EXPECT_EQ(connection.writes, 1);
  EXPECT_THAT(desk.reports, SizeIs(2));
  EXPECT_FALSE(connection.is_closed);
  EXPECT_EQ(intake.statistics()->requests[0], 2u);
  EXPECT_EQ(intake.statistics()->answers[1], 1u);
  EXPECT_EQ(intake.statistics()->alarms_of_lists, 1u);
  EXPECT_EQ(intake.statistics()->alarms_unreadable, 1u);
}

TEST_F(ReportSessionTest, OneByteAtATimeGivesTheSameAnswers) {
  const std::string stream =
      TestRefer().Text() + "\r\n\r\n" + TestRegister().Text() + TestRequest{.method = "BYE"}.Text();
  Connection whole(intake, At("192.0.2.1"));
  whole.Send(stream);
  Connection bytewise(intake, At("192.0.2.1"));
  bytewise.Send(stream, 1);
  EXPECT_EQ(ResponseCodes(whole.sent), "202 200 405");
  EXPECT_EQ(bytewise.sent, whole.sent);
  EXPECT_EQ(intake.statistics()->keep_alives, 4u);
}

TEST_F(ReportSessionTest, AnswersWaitUntilAllReportsAreStored) {
  desk.answers_at_once = false;
  Connection connection(intake, At("192.0.2.1"));
  connection.Send(TestRequest{.method = "OPTIONS"}.Text() + Refers(3));
  EXPECT_TRUE(connection.is_waiting());
  EXPECT_THAT(connection.sent, IsEmpty());
  desk.waiting.back()(absl::OkStatus());
  desk.waiting.pop_back();
  connection.GoOn();
  EXPECT_TRUE(connection.is_waiting());
  desk.AnswerAll(absl::UnavailableError("itld is away"));
  connection.GoOn();
  EXPECT_FALSE(connection.is_waiting());
  EXPECT_EQ(ResponseCodes(connection.sent), "200 503 503 202");
  EXPECT_THAT(connection.sent, HasSubstr("Retry-After: 30\r\n"));
  EXPECT_EQ(intake.statistics()->unstored, 2u);
}

TEST_F(ReportSessionTest, AtMost256RequestsWaitTogether) {
  desk.answers_at_once = false;
  Connection connection(intake, At("192.0.2.1"));
  const std::string stream = Refers(600);
  size_t sent = 0;
  std::string answered;
  while (sent < stream.size()) {
    const size_t piece = std::min<size_t>(16'384, stream.size() - sent);
    connection.Send(std::string_view(stream).substr(sent, piece));
    sent += piece;
    EXPECT_LE(desk.waiting.size(), 256u);
    while (connection.is_waiting()) {
      desk.AnswerAll();
      connection.GoOn();
    }
  }
  EXPECT_THAT(desk.reports, SizeIs(600));
  EXPECT_EQ(ResponseCodes(connection.sent).size(), 600 * 4 - 1);
}

TEST_F(ReportSessionTest, ABatchIsFullBeforeEverythingIsRead) {
  desk.answers_at_once = false;
  Connection connection(intake, At("192.0.2.1"));
  TestRequest small{.method = "REGISTER", .contact = "<sip:SEP001122334455@a>"};
  std::string stream;
  for (int i = 0; i < 300; ++i) stream += small.Text();
  // In one piece, larger than the socket layer's, so that the rest is left in the session.
  connection.Send(stream, stream.size());
  EXPECT_THAT(desk.waiting, SizeIs(256));
  EXPECT_TRUE(connection.is_waiting());
  desk.AnswerAll();
  connection.GoOn();
  EXPECT_EQ(ResponseCodes(connection.TakeSent()).size(), 256 * 4 - 1);
  // What was left is taken although no more bytes come.
  EXPECT_THAT(desk.waiting, SizeIs(44));
  desk.AnswerAll();
  connection.GoOn();
  EXPECT_EQ(ResponseCodes(connection.sent).size(), 44 * 4 - 1);
  EXPECT_FALSE(connection.is_waiting());
}

TEST_F(ReportSessionTest, TheDeskMayAnswerWhenTheSessionIsGoneAndFromAnyThread) {
  desk.answers_at_once = false;
  judge.answers_at_once = false;
  auto connection = std::make_unique<Connection>(intake, At("192.0.2.1"));
  connection->Send(Refers(2));
  Connection with_certificate(intake, At("192.0.2.9", "der"), SipTransport::kTls);
  with_certificate.Send(Refers(1));
  EXPECT_TRUE(with_certificate.is_waiting());
  connection->Break();
  with_certificate.Break();
  std::thread other([&] {
    desk.AnswerAll();
    judge.waiting.front()({});
  });
  other.join();
  SUCCEED() << "under the sanitizers nothing was touched that is gone";
}

TEST_F(ReportSessionTest, ResultsThatComeWhileTheSessionAsksAreNotLost) {
  for (int round = 0; round < 200; ++round) {
    StoreResults results;
    const size_t first = results.Add();
    const size_t second = results.Add();
    std::atomic<int> calls{0};
    std::thread one([&] { results.Set(first, absl::OkStatus()); });
    std::thread two([&] { results.Set(second, absl::UnavailableError("x")); });
    results.WhenComplete([&] { ++calls; });
    one.join();
    two.join();
    EXPECT_EQ(calls, 1);
    EXPECT_THAT(results.Take(), ElementsAre(IsOk(), StatusIs(absl::StatusCode::kUnavailable)));
  }
}

TEST_F(ReportSessionTest, TheCertificateIsJudgedBeforeTheFirstRequestAndAgainInTime) {
  judge.answers_at_once = false;
  Connection connection(intake, At("192.0.2.9", "the certificate"), SipTransport::kTls);
  connection.Send(TestRegister().Text() + TestRefer().Text());
  EXPECT_TRUE(connection.is_waiting());
  EXPECT_THAT(judge.judged, ElementsAre("the certificate"));
  EXPECT_THAT(desk.reports, IsEmpty());
  judge.waiting.front()({.valid = true, .has_role = true, .common_name = "cm1.example"});
  connection.GoOn();
  EXPECT_EQ(ResponseCodes(connection.TakeSent()), "200 202");
  ASSERT_THAT(desk.reports, SizeIs(2));
  EXPECT_EQ(desk.reports[1].source, "cm1.example");

  connection.Send(Refers(1));
  EXPECT_THAT(judge.judged, SizeIs(1));
  clock.Advance(absl::Minutes(6));
  judge.answers_at_once = true;
  judge.standing = {};  // revoked meanwhile
  connection.TakeSent();
  connection.Send(TestRegister().Text() + TestRefer().Text());
  EXPECT_THAT(judge.judged, SizeIs(2));
  EXPECT_EQ(ResponseCodes(connection.TakeSent()), "403 202");
  EXPECT_EQ(desk.reports.back().basis, ReportBasis::kNone);
  // What was refused is asked for again sooner: TVS may have been away.
  clock.Advance(absl::Seconds(11));
  judge.standing = {.valid = true, .has_role = false, .common_name = "SEP001122334455"};
  connection.Send(Refers(1));
  EXPECT_EQ(desk.reports.back().basis, ReportBasis::kDeviceCertificate);
}

TEST_F(ReportSessionTest, WithoutACertificateNothingIsJudged) {
  Connection connection(intake, At("192.0.2.9"), SipTransport::kTls);
  connection.Send(Refers(1));
  EXPECT_THAT(judge.judged, IsEmpty());
  EXPECT_EQ(desk.reports.at(0).basis, ReportBasis::kNone);
  EXPECT_EQ(intake.statistics()->claims, 1u);
}

TEST_F(ReportSessionTest, WhatCannotBeFramedIsAnsweredAndClosed) {
  std::string bad = TestRefer().Text();
  bad.replace(bad.find("Content-Length: ") + 16, 3, "-1x");
  Connection connection(intake, At("192.0.2.1"));
  connection.Send(Refers(1) + bad + Refers(1));
  EXPECT_EQ(ResponseCodes(connection.sent), "202 400");
  EXPECT_TRUE(connection.is_closed);
  EXPECT_THAT(desk.reports, SizeIs(1));
  EXPECT_EQ(intake.statistics()->malformed, 1u);

  Connection noise(intake, At("192.0.2.9"));
  noise.Send("\x16\x03\x01 not SIP");
  noise.Send("");
  EXPECT_THAT(noise.sent, IsEmpty());
  Connection lines(intake, At("192.0.2.9"));
  lines.Send("GET / HTTP/1.1\n");
  EXPECT_TRUE(lines.is_closed);
  EXPECT_THAT(lines.sent, IsEmpty());
}

TEST_F(ReportSessionTest, AClosedConnectionFirstSaysWhatBecameOfItsReports) {
  desk.answers_at_once = false;
  Connection connection(intake, At("192.0.2.1"));
  connection.Send(Refers(1) + "\n");
  EXPECT_TRUE(connection.is_waiting());
  EXPECT_FALSE(connection.is_closed);
  desk.AnswerAll();
  connection.GoOn();
  EXPECT_EQ(ResponseCodes(connection.sent), "202");
  EXPECT_TRUE(connection.is_closed);
}

TEST_F(ReportSessionTest, AckAndResponsesGetNoAnswer) {
  std::string response = TestRequest{}.Text();
  response.replace(0, response.find("\r\n"), "SIP/2.0 200 OK");
  Connection connection(intake, At("192.0.2.1"));
  connection.Send(TestRequest{.method = "ACK"}.Text() + response + TestRequest{.method = "OPTIONS"}.Text());
  EXPECT_EQ(ResponseCodes(connection.sent), "200");
  EXPECT_EQ(intake.statistics()->responses_ignored, 1u);
}

TEST_F(ReportSessionTest, ForwardersArePatientAndOthersHaveAPace) {
  Connection forwarder(intake, At("192.0.2.1"));
  for (int i = 0; i < 10; ++i) forwarder.Send(Refers(100));
  EXPECT_EQ(ResponseCodes(forwarder.sent).size(), 1'000 * 4 - 1);
  EXPECT_EQ(forwarder.patience, 1);
  const int renewals = forwarder.renewals;
  forwarder.Send("\r\n\r\n");
  EXPECT_EQ(forwarder.renewals, renewals + 1);

  Connection anybody(intake, At("192.0.2.9"));
  anybody.Send(Refers(150) + "\r\n\r\n");
  EXPECT_EQ(anybody.patience, 0);
  anybody.TakeSent();
  anybody.Send(Refers(150));
  EXPECT_EQ(ResponseCodes(anybody.sent).size(), 51 * 4 - 1);
  EXPECT_THAT(ResponseCodes(anybody.sent), ::testing::EndsWith("202 503"));
  EXPECT_THAT(anybody.sent, HasSubstr("Retry-After: "));
  EXPECT_TRUE(anybody.is_closed);
  EXPECT_EQ(intake.statistics()->floods_refused, 1u);
}

TEST_F(ReportSessionTest, TenThousandInventedNamesAreClaimsAndLeaveNothingBehind) {
  size_t answered = 0;
  for (int i = 0; i < 100; ++i) {
    Connection connection(intake, At(fmt::format("198.51.100.{}", i)));
    for (int j = 0; j < 100; ++j) {
      TestRequest request = TestRefer(TrustListAlarm(fmt::format("SEP{:012X}", i * 100 + j)));
      request.contact = "";
      connection.Send(request.Text());
    }
    answered += ResponseCodes(connection.sent).size() / 4 + 1;
  }
  EXPECT_EQ(answered, 10'000u);
  ASSERT_THAT(desk.reports, SizeIs(10'000));
  for (const PhoneTrustReport& report : desk.reports) EXPECT_EQ(report.basis, ReportBasis::kNone);
  EXPECT_EQ(intake.statistics()->claims, 10'000u);
}

TEST_F(ReportSessionTest, ARequestCannotWriteTheAnswer) {
  TestRequest request = TestRefer();
  request.more = {"Require: a\x0b", "X: y"};
  Connection control(intake, At("192.0.2.1"));
  control.Send(request.Text());
  EXPECT_THAT(control.sent, IsEmpty());
  EXPECT_TRUE(control.is_closed);

  request.more = {"Require: evil\xff;SIP/2.0 200 OK\t, b"};
  Connection connection(intake, At("192.0.2.1"));
  connection.Send(request.Text());
  EXPECT_EQ(ResponseCodes(connection.sent), "420");
  EXPECT_THAT(connection.sent, HasSubstr("\r\nUnsupported: evil?;sip/2.0 200 ok, b\r\n"));
  EXPECT_EQ(connection.sent.find("\r\n\r\n"), connection.sent.size() - 4);
}

}  // namespace
}  // namespace trustline
