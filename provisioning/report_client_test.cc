#include "provisioning/report_client.h"

#include "common/rpc/credentials.h"
#include "common/rpc/proto_time.h"
#include "common/rpc/rpc_testing.h"
#include "common/rpc/server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "provisioning/report_client_testing.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

constexpr auto kUnavailable = absl::StatusCode::kUnavailable;

class ReportClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK(RequireTls13());
    ASSERT_NO_FATAL_FAILURE(StartItld());
    port_ = itld_->port();
  }
  void TearDown() override {
    phone_trust_.Hold(false);
    if (client_) client_->Stop();
  }

  void StartItld() {
    ASSERT_OK_AND_ASSIGN(
        itld_, RpcServer::Start({.port = port_, .identity = itld_identity_.files()}, {&phone_trust_}, health_));
  }
  void StopItld() {
    itld_->Shutdown(absl::ZeroDuration());
    itld_.reset();
  }
  void MakeClient(ReportClientOptions options = {}) {
    options.itld = fmt::format("127.0.0.1:{}", port_);
    options.identity = own_identity_.files();
    options.cluster = "berlin";
    ASSERT_OK_AND_ASSIGN(client_, ReportClient::Create(options, log_, metrics_));
    client_->Start();
  }
  void SubmitEvidence(const std::string& device) { client_->Submit(EvidenceOf(device), answers_.For(device)); }
  void SubmitClaim(const std::string& device) { client_->Submit(ClaimOf(device), answers_.For(device)); }
  static std::string Device(int number) { return fmt::format("SEP{:012d}", number); }
  bool WaitForLog(const std::string& event) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kTestPatience, [&] { return log_text_.find(event) != std::string::npos; });
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::string log_text_;
  Log log_{{.form = LogOptions::Form::kJson, .sink = [this](std::string_view line) {
              const std::lock_guard lock(mutex_);
              log_text_ += line;
              changed_.notify_all();
            }}};
  Metrics metrics_{"provisiond"};
  Health health_;
  IdentityAuthority authority_ = *IdentityAuthority::Create(absl::Now());
  TestIdentity itld_identity_{authority_, "trustline:default/itld/node1"};
  TestIdentity own_identity_{authority_, "trustline:default/provisiond/node1"};
  KeepingPhoneTrust phone_trust_;
  AnswerCollector answers_;
  uint16_t port_ = 0;
  std::unique_ptr<RpcServer> itld_;
  std::unique_ptr<ReportClient> client_;
};

TEST_F(ReportClientTest, EveryReportIsStoredOnceAndThenAnswered) {
  ASSERT_NO_FATAL_FAILURE(MakeClient());
  constexpr int kReports = 4'500;
  for (int i = 0; i < kReports; ++i) SubmitEvidence(Device(i));
  ASSERT_TRUE(answers_.WaitFor(kReports));
  EXPECT_EQ(answers_.CountOf(absl::StatusCode::kOk), kReports);
  int stored = 0;
  for (const auto& request : phone_trust_.stored()) {
    EXPECT_EQ(request.cluster(), "berlin");
    EXPECT_LE(request.reports_size(), 1'000);
    for (const auto& report : request.reports()) EXPECT_EQ(report.device(), Device(stored++));
  }
  EXPECT_EQ(stored, kReports);
  EXPECT_THAT(metrics_.Serialize(),
              AllOf(HasSubstr("\ntrustline_phone_reports_stored_total{cluster=\"berlin\"} 4500\n"),
                    HasSubstr("\ntrustline_phone_reports_waiting{cluster=\"berlin\",kind=\"evidence\"} 0\n")));
}

TEST_F(ReportClientTest, AReportArrivesWithAllThatItSays) {
  ASSERT_NO_FATAL_FAILURE(MakeClient());
  const absl::Time at = absl::FromUnixMillis(1'700'000'000'123);
  client_->Submit({.device = "SEP001122334455",
                   .event = PhoneTrustEvent::kUnregistered,
                   .at = at,
                   .itl_signature = "1B A1",
                   .itl_tftp_server = "tftp1.example",
                   .ctl_signature = "Not Installed",
                   .ctl_tftp_server = "N/A",
                   .address = "192.0.2.104",
                   .user_agent = "Phone/1 \xff\xfe",
                   .basis = ReportBasis::kDeviceCertificate,
                   .source = "192.0.2.9"},
                  answers_.For("a"));
  ASSERT_TRUE(answers_.WaitFor(1));
  EXPECT_THAT(answers_.answers(), ElementsAre(Pair("a", IsOk())));
  const auto stored = phone_trust_.stored();
  ASSERT_THAT(stored, SizeIs(1));
  const v1::PhoneReport& report = stored[0].reports(0);
  EXPECT_EQ(report.device(), "SEP001122334455");
  EXPECT_EQ(report.event(), v1::PhoneReport::EVENT_UNREGISTERED);
  EXPECT_EQ(FromProtoTime(report.at()), at);
  EXPECT_EQ(report.itl_signature(), "1B A1");
  EXPECT_EQ(report.itl_tftp_server(), "tftp1.example");
  EXPECT_EQ(report.ctl_signature(), "Not Installed");
  EXPECT_EQ(report.ctl_tftp_server(), "N/A");
  EXPECT_EQ(report.address(), "192.0.2.104");
  // gRPC would not take bytes that are no UTF-8, nor anything that is sent together with them.
  EXPECT_EQ(report.user_agent(), "Phone/1 \xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(report.basis(), v1::REPORT_BASIS_DEVICE_CERTIFICATE);
  EXPECT_EQ(report.source(), "192.0.2.9");
}

TEST_F(ReportClientTest, NobodyIsAnsweredBeforeItldHasStored) {
  ASSERT_NO_FATAL_FAILURE(MakeClient());
  phone_trust_.Hold(true);
  SubmitEvidence("A");
  ASSERT_TRUE(phone_trust_.WaitForArrivals(1));
  EXPECT_THAT(answers_.answers(), IsEmpty());
  phone_trust_.Hold(false);
  ASSERT_TRUE(answers_.WaitFor(1));
  EXPECT_THAT(phone_trust_.Devices(), ElementsAre("A"));
}

TEST_F(ReportClientTest, WhoWaitsForTooLongIsToldAndTheReportIsStoredAllTheSame) {
  ASSERT_NO_FATAL_FAILURE(MakeClient({.queue = {.patience = std::chrono::milliseconds(50)}}));
  phone_trust_.Hold(true);
  SubmitEvidence("A");
  SubmitClaim("B");
  ASSERT_TRUE(answers_.WaitFor(2));
  EXPECT_EQ(answers_.CountOf(kUnavailable), 2u);
  phone_trust_.Hold(false);
  ASSERT_TRUE(phone_trust_.WaitForDevices(2));
  client_->Stop();
  EXPECT_THAT(answers_.answers(), SizeIs(2)) << "told twice";
  EXPECT_THAT(metrics_.Serialize(),
              AllOf(HasSubstr("\ntrustline_phone_reports_unavailable_total{cluster=\"berlin\"} 2\n"),
                    HasSubstr("\ntrustline_phone_reports_stored_total{cluster=\"berlin\"} 2\n")));
}

TEST_F(ReportClientTest, NothingIsLostWhileItldIsAway) {
  StopItld();
  ASSERT_NO_FATAL_FAILURE(MakeClient({.queue = {.patience = kTestPatience}}));
  for (int i = 0; i < 100; ++i) SubmitEvidence(Device(i));
  ASSERT_TRUE(WaitForLog("REPORTS_ITLD_AWAY"));
  EXPECT_THAT(client_->Reachable(), StatusIs(kUnavailable, HasSubstr("itld")));
  EXPECT_THAT(answers_.answers(), IsEmpty());

  ASSERT_NO_FATAL_FAILURE(StartItld());
  ASSERT_TRUE(answers_.WaitFor(100));
  EXPECT_EQ(answers_.CountOf(absl::StatusCode::kOk), 100u);
  EXPECT_THAT(phone_trust_.Devices(), SizeIs(100));
  EXPECT_OK(client_->Reachable());
  ASSERT_TRUE(WaitForLog("REPORTS_ITLD_BACK"));
}

// Each time with requests under way of which nobody can say whether they were stored.
TEST_F(ReportClientTest, NothingIsLostWhenItldEndsAgainAndAgain) {
  ASSERT_NO_FATAL_FAILURE(MakeClient({.queue = {.patience = kTestPatience}, .reports_in_request = 10}));
  int submitted = 0;
  for (int round = 0; round < 5; ++round) {
    phone_trust_.Hold(true);
    const size_t before = phone_trust_.arrivals();
    for (int i = 0; i < 50; ++i) SubmitEvidence(Device(submitted++));
    ASSERT_TRUE(phone_trust_.WaitForArrivals(before + 1));
    StopItld();
    phone_trust_.Hold(false);
    ASSERT_NO_FATAL_FAILURE(StartItld());
  }
  ASSERT_TRUE(answers_.WaitFor(static_cast<size_t>(submitted)));
  EXPECT_EQ(answers_.CountOf(absl::StatusCode::kOk), static_cast<size_t>(submitted));
  EXPECT_THAT(phone_trust_.Devices(), SizeIs(submitted));
}

TEST_F(ReportClientTest, ClaimsNeverTakeThePlaceOfEvidence) {
  StopItld();
  ASSERT_NO_FATAL_FAILURE(MakeClient({.queue = {.most_evidence = 10, .most_claims = 3, .patience = kTestPatience}}));
  for (int i = 0; i < 100; ++i) SubmitClaim(fmt::format("CLAIM{}", i));
  EXPECT_EQ(answers_.CountOf(kUnavailable), 97u) << "no room, said at once";
  for (int i = 0; i < 10; ++i) SubmitEvidence(Device(i));
  EXPECT_THAT(answers_.answers(), SizeIs(97));
  SubmitEvidence("ONE TOO MANY");
  EXPECT_THAT(answers_.answers().back(), Pair("ONE TOO MANY", StatusIs(kUnavailable)));
  EXPECT_THAT(metrics_.Serialize(),
              AllOf(HasSubstr("\ntrustline_phone_reports_dropped_total{cluster=\"berlin\",kind=\"claim\"} 97\n"),
                    HasSubstr("\ntrustline_phone_reports_dropped_total{cluster=\"berlin\",kind=\"evidence\"} 1\n"),
                    HasSubstr("\ntrustline_phone_reports_waiting{cluster=\"berlin\",kind=\"claim\"} 3\n")));
  ASSERT_NO_FATAL_FAILURE(StartItld());
  ASSERT_TRUE(answers_.WaitFor(98 + 13));
  EXPECT_EQ(answers_.CountOf(absl::StatusCode::kOk), 13u);
  // Evidence goes first.
  const auto stored = phone_trust_.stored();
  ASSERT_THAT(stored, SizeIs(1));
  EXPECT_EQ(stored[0].reports(0).basis(), v1::REPORT_BASIS_FORWARDER);
  EXPECT_EQ(stored[0].reports(12).basis(), v1::REPORT_BASIS_NONE);
}

TEST_F(ReportClientTest, AReportForWhichItldRefusesARequestIsFoundAndGivenUp) {
  phone_trust_.SetJudge([](const v1::ReportPhoneTrustRequest& request, v1::ReportPhoneTrustResponse&) {
    for (const auto& report : request.reports()) {
      if (report.device() == "BAD") return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "BAD is no device");
    }
    return grpc::Status::OK;
  });
  ASSERT_NO_FATAL_FAILURE(MakeClient());
  phone_trust_.Hold(true);
  SubmitEvidence("first");
  ASSERT_TRUE(phone_trust_.WaitForArrivals(1));
  for (int i = 0; i < 200; ++i) SubmitEvidence(i == 77 || i == 199 ? "BAD" : Device(i));
  SubmitClaim("BAD");
  SubmitClaim("GOOD");
  phone_trust_.Hold(false);
  ASSERT_TRUE(answers_.WaitFor(203));
  for (const auto& [device, status] : answers_.answers()) {
    if (device == "BAD") {
      EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("BAD is no device")));
    } else {
      EXPECT_OK(status) << device;
    }
  }
  EXPECT_THAT(phone_trust_.Devices(), SizeIs(200));
  // In whole requests again.
  ASSERT_TRUE(WaitForLog("REPORTS_REFUSED"));
  EXPECT_OK(client_->Reachable());
  EXPECT_THAT(metrics_.Serialize(), HasSubstr("\ntrustline_phone_reports_refused_total{cluster=\"berlin\"} 3\n"));
}

TEST_F(ReportClientTest, AProblemOfOneReportIsToldToItsSenderOnly) {
  phone_trust_.SetJudge([](const v1::ReportPhoneTrustRequest& request, v1::ReportPhoneTrustResponse& response) {
    for (int i = 0; i < request.reports_size(); ++i) {
      if (request.reports(i).device() != "BAD") continue;
      response.add_problems()->set_index(i);
      response.mutable_problems()->rbegin()->set_reason("no device");
    }
    response.add_problems()->set_index(-1);
    response.add_problems()->set_index(5'000);
    return grpc::Status::OK;
  });
  ASSERT_NO_FATAL_FAILURE(MakeClient());
  phone_trust_.Hold(true);
  SubmitEvidence("A");
  ASSERT_TRUE(phone_trust_.WaitForArrivals(1));
  SubmitEvidence("B");
  SubmitEvidence("BAD");
  SubmitClaim("C");
  SubmitClaim("BAD");
  phone_trust_.Hold(false);
  ASSERT_TRUE(answers_.WaitFor(5));
  EXPECT_THAT(answers_.answers(),
              ::testing::UnorderedElementsAre(
                  Pair("A", IsOk()), Pair("B", IsOk()), Pair("C", IsOk()),
                  Pair("BAD", StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no device"))),
                  Pair("BAD", StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no device")))));
}

TEST_F(ReportClientTest, AStreamThatHasRestedAndWasEndedIsBegunAnew) {
  phone_trust_.EndEachStreamAfterItsFirstAnswer();
  ASSERT_NO_FATAL_FAILURE(MakeClient({.queue = {.patience = kTestPatience}}));
  for (int i = 0; i < 5; ++i) {
    SubmitEvidence(Device(i));
    ASSERT_TRUE(answers_.WaitFor(static_cast<size_t>(i) + 1));
  }
  EXPECT_EQ(answers_.CountOf(absl::StatusCode::kOk), 5u);
}

TEST_F(ReportClientTest, TheEndStoresWhatWaits) {
  ASSERT_NO_FATAL_FAILURE(MakeClient({.reports_in_request = 10, .stop_patience = kTestPatience}));
  for (int i = 0; i < 1'000; ++i) SubmitEvidence(Device(i));
  client_->Stop();
  EXPECT_EQ(answers_.CountOf(absl::StatusCode::kOk), 1'000u);
  EXPECT_THAT(phone_trust_.Devices(), SizeIs(1'000));
  SubmitEvidence("late");
  EXPECT_THAT(answers_.answers().back(), Pair("late", StatusIs(kUnavailable)));
}

TEST_F(ReportClientTest, TheEndDoesNotWaitForItldForEver) {
  ASSERT_NO_FATAL_FAILURE(MakeClient({.stop_patience = std::chrono::milliseconds(50)}));
  phone_trust_.Hold(true);
  SubmitEvidence("A");
  SubmitClaim("B");
  ASSERT_TRUE(phone_trust_.WaitForArrivals(1));
  client_->Stop();
  EXPECT_EQ(answers_.CountOf(kUnavailable), 2u);
  ASSERT_TRUE(WaitForLog("REPORTS_LOST"));
}

}  // namespace
}  // namespace trustline
