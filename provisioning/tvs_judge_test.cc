#include "provisioning/tvs_judge.h"

#include <grpcpp/server_context.h>

#include <future>

#include "common/rpc/credentials.h"
#include "common/rpc/rpc_testing.h"
#include "common/rpc/server.h"
#include "common/x509/certificate_builder.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;

constexpr std::chrono::seconds kPatience{30};

// Answers as it is told, and counts.
class CountingVerification final : public v1::Verification::Service {
 public:
  grpc::Status Verify(grpc::ServerContext* context, const v1::VerifyRequest* request,
                      v1::VerifyResponse* answer) override {
    std::unique_lock lock(mutex_);
    requests_.push_back(*request);
    changed_.notify_all();
    // gRPC tells a call that waits nothing of its end.
    while (is_held_ && !context->IsCancelled()) changed_.wait_for(lock, std::chrono::milliseconds(10));
    *answer = response_;
    return status_;
  }

  void Answer(v1::Verdict verdict, bool has_role, int ttl_seconds) {
    const std::lock_guard lock(mutex_);
    response_.Clear();
    response_.set_verdict(verdict);
    response_.set_explanation("because");
    if (has_role) response_.add_roles(v1::CERTIFICATE_ROLE_APP_SERVER);
    response_.mutable_ttl()->set_seconds(ttl_seconds);
  }
  void Fail(grpc::Status status) {
    const std::lock_guard lock(mutex_);
    status_ = std::move(status);
  }
  void Hold(bool held) {
    const std::lock_guard lock(mutex_);
    is_held_ = held;
    changed_.notify_all();
  }
  bool WaitForRequests(size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return requests_.size() >= count; });
  }
  std::vector<v1::VerifyRequest> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool is_held_ = false;
  v1::VerifyResponse response_;
  grpc::Status status_;
  std::vector<v1::VerifyRequest> requests_;
};

class TvsJudgeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK(RequireTls13());
    ASSERT_OK_AND_ASSIGN(tvsd_, RpcServer::Start({.identity = tvsd_identity_.files()}, {&verification_}, health_));
  }
  void TearDown() override {
    verification_.Hold(false);
    if (judge_) judge_->Stop();
  }
  void MakeJudge(TvsJudgeOptions options = {}) {
    options.tvsd = fmt::format("127.0.0.1:{}", tvsd_->port());
    options.identity = own_identity_.files();
    options.cluster = "berlin";
    ASSERT_OK_AND_ASSIGN(judge_, TvsJudge::Create(options, log_, metrics_));
  }
  std::future<CertificateStanding> Ask(const std::string& der) {
    auto promise = std::make_shared<std::promise<CertificateStanding>>();
    judge_->Judge(std::make_shared<const std::string>(der),
                  [promise](CertificateStanding standing) { promise->set_value(std::move(standing)); });
    return promise->get_future();
  }
  static CertificateStanding Wait(std::future<CertificateStanding> asked) {
    const bool is_there = asked.wait_for(kPatience) == std::future_status::ready;
    EXPECT_TRUE(is_there);
    return is_there ? asked.get() : CertificateStanding();
  }
  CertificateStanding Judge(const std::string& der) { return Wait(Ask(der)); }

  static std::string Der(const std::vector<std::pair<std::string_view, std::string_view>>& subject) {
    static const PrivateKey* const key = new PrivateKey(*PrivateKey::Generate(KeyKind::kEcP256));
    CertificateTemplate form = *IdentityAuthorityTemplate("x", absl::Now());
    form.subject = *DistinguishedName::FromAttributes(subject);
    const absl::StatusOr<Certificate> certificate = BuildSelfSigned(form, *key);
    EXPECT_OK(certificate);
    return std::string(AsText(certificate->der()));
  }

  Log log_{{.sink = [](std::string_view) {}}};
  Metrics metrics_{"provisiond"};
  Health health_;
  IdentityAuthority authority_ = *IdentityAuthority::Create(absl::Now());
  TestIdentity tvsd_identity_{authority_, "trustline:default/tvsd/node1"};
  TestIdentity own_identity_{authority_, "trustline:default/provisiond/node1"};
  CountingVerification verification_;
  std::unique_ptr<RpcServer> tvsd_;
  std::unique_ptr<TvsJudge> judge_;
  const std::string kamailio_ = Der({{"CN", "kamailio.example"}, {"O", "Example"}});
};

TEST_F(TvsJudgeTest, TheVerdictOfTvsCounts) {
  ASSERT_NO_FATAL_FAILURE(MakeJudge({.memory_of_invalid = std::chrono::milliseconds(0)}));
  verification_.Answer(v1::VERDICT_VALID, true, 0);
  CertificateStanding standing = Judge(kamailio_);
  EXPECT_TRUE(standing.valid);
  EXPECT_TRUE(standing.has_role);
  EXPECT_EQ(standing.common_name, "kamailio.example");
  ASSERT_EQ(verification_.requests().size(), 1u);
  EXPECT_EQ(verification_.requests()[0].cluster(), "berlin");
  EXPECT_EQ(verification_.requests()[0].certificate(), kamailio_);
  EXPECT_EQ(verification_.requests()[0].role(), v1::CERTIFICATE_ROLE_UNSPECIFIED);

  verification_.Answer(v1::VERDICT_VALID, false, 0);
  standing = Judge(kamailio_);
  EXPECT_TRUE(standing.valid);
  EXPECT_FALSE(standing.has_role) << "an LSC";

  verification_.Answer(v1::VERDICT_INVALID, true, 0);
  standing = Judge(kamailio_);
  EXPECT_FALSE(standing.valid);
  EXPECT_EQ(standing.common_name, "");
  verification_.Answer(v1::VERDICT_UNSPECIFIED, true, 0);
  EXPECT_FALSE(Judge(kamailio_).valid);
  EXPECT_THAT(metrics_.Serialize(),
              HasSubstr("trustline_certificate_judgements_total{cluster=\"berlin\",outcome=\"valid\"} 2\n"));
}

TEST_F(TvsJudgeTest, OnlyASingleCommonNameIsAName) {
  ASSERT_NO_FATAL_FAILURE(MakeJudge());
  verification_.Answer(v1::VERDICT_VALID, true, 60);
  for (const std::string& der :
       {Der({{"CN", "a"}, {"CN", "b"}}), Der({{"O", "Example"}}), std::string("no certificate")}) {
    const CertificateStanding standing = Judge(der);
    EXPECT_TRUE(standing.valid);
    EXPECT_EQ(standing.common_name, "");
  }
}

TEST_F(TvsJudgeTest, AVerdictIsRememberedForItsTimeAndNotLonger) {
  ASSERT_NO_FATAL_FAILURE(MakeJudge());
  verification_.Answer(v1::VERDICT_VALID, true, 3'600);
  EXPECT_TRUE(Judge(kamailio_).valid);
  verification_.Answer(v1::VERDICT_INVALID, false, 0);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(Judge(kamailio_).valid);
  EXPECT_EQ(verification_.requests().size(), 1u);

  // tvsd says for how long, and this daemon for how long at most.
  const std::pair<int, std::chrono::milliseconds> forgotten[] = {{0, std::chrono::seconds(60)},
                                                                 {3'600, std::chrono::milliseconds(0)}};
  for (const auto& [ttl, longest] : forgotten) {
    ASSERT_NO_FATAL_FAILURE(MakeJudge({.longest_memory = longest}));
    verification_.Answer(v1::VERDICT_VALID, true, ttl);
    EXPECT_TRUE(Judge(kamailio_).valid);
    verification_.Answer(v1::VERDICT_INVALID, false, 0);
    EXPECT_FALSE(Judge(kamailio_).valid);
  }
}

TEST_F(TvsJudgeTest, TheOldestVerdictsAreForgottenForNewOnes) {
  ASSERT_NO_FATAL_FAILURE(MakeJudge({.most_remembered = 2}));
  verification_.Answer(v1::VERDICT_VALID, true, 3'600);
  const std::string other = Der({{"CN", "b"}}), third = Der({{"CN", "c"}});
  for (const std::string& der : {kamailio_, other, third}) EXPECT_TRUE(Judge(der).valid);
  EXPECT_TRUE(Judge(other).valid);
  EXPECT_TRUE(Judge(third).valid);
  EXPECT_EQ(verification_.requests().size(), 3u);
  EXPECT_TRUE(Judge(kamailio_).valid);
  EXPECT_EQ(verification_.requests().size(), 4u);
}

TEST_F(TvsJudgeTest, WhoAsksAtTheSameTimeSharesOneCall) {
  ASSERT_NO_FATAL_FAILURE(MakeJudge({.most_asked_at_once = 1}));
  verification_.Answer(v1::VERDICT_VALID, true, 0);
  verification_.Hold(true);
  auto first = Ask(kamailio_), second = Ask(kamailio_);
  ASSERT_TRUE(verification_.WaitForRequests(1));
  // One certificate more than may be asked about.
  EXPECT_FALSE(Judge(Der({{"CN", "b"}})).valid);
  verification_.Hold(false);
  EXPECT_TRUE(Wait(std::move(first)).valid);
  EXPECT_TRUE(Wait(std::move(second)).valid);
  EXPECT_EQ(verification_.requests().size(), 1u);
}

TEST_F(TvsJudgeTest, NothingIsValidWhileTvsdIsAway) {
  ASSERT_NO_FATAL_FAILURE(MakeJudge());
  verification_.Answer(v1::VERDICT_VALID, true, 3'600);
  verification_.Fail({grpc::StatusCode::UNAVAILABLE, "stale"});
  EXPECT_FALSE(Judge(kamailio_).valid);
  verification_.Fail(grpc::Status::OK);
  EXPECT_TRUE(Judge(kamailio_).valid) << "a failure is not remembered";
  tvsd_->Shutdown(absl::ZeroDuration());
  EXPECT_FALSE(Judge(Der({{"CN", "b"}})).valid);
  EXPECT_TRUE(Judge(kamailio_).valid) << "a verdict is";
}

TEST_F(TvsJudgeTest, ATvsdThatIsSilentIsNotWaitedForLong) {
  ASSERT_NO_FATAL_FAILURE(MakeJudge({.patience = std::chrono::milliseconds(50)}));
  verification_.Answer(v1::VERDICT_VALID, true, 3'600);
  verification_.Hold(true);
  EXPECT_FALSE(Judge(kamailio_).valid);
}

TEST_F(TvsJudgeTest, TheEndAnswersWhoWaits) {
  ASSERT_NO_FATAL_FAILURE(MakeJudge({.patience = kPatience}));
  verification_.Hold(true);
  auto asked = Ask(kamailio_);
  ASSERT_TRUE(verification_.WaitForRequests(1));
  judge_->Stop();
  EXPECT_FALSE(Wait(std::move(asked)).valid);
  EXPECT_FALSE(Judge(kamailio_).valid);
}

// What a call holds may not outlive the judge. Its context holds the channel: the last to let go of that would be a
// thread of gRPC, which the end of the channel waits for. Seen here is what the call keeps beside the context.
TEST_F(TvsJudgeTest, NothingOfACallOutlivesTheEnd) {
  ASSERT_NO_FATAL_FAILURE(MakeJudge());
  verification_.Answer(v1::VERDICT_VALID, true, 0);
  std::promise<void> answered, stopped;
  std::promise<bool> outlived;
  // Goes with the call; the end gets every chance to be faster.
  std::shared_ptr<void> held(nullptr, [&, end = stopped.get_future()](void*) {
    outlived.set_value(end.wait_for(std::chrono::milliseconds(200)) == std::future_status::ready);
  });
  judge_->Judge(std::make_shared<const std::string>(kamailio_),
                [&answered, held = std::move(held)](const CertificateStanding&) { answered.set_value(); });
  answered.get_future().wait();
  judge_->Stop();
  stopped.set_value();
  EXPECT_FALSE(outlived.get_future().get());
}

TEST_F(TvsJudgeTest, ACertificateOfThisDaemonNeedsTheRole) {
  ASSERT_NO_FATAL_FAILURE(MakeJudge());
  ASSERT_OK_AND_ASSIGN(const Certificate certificate, Certificate::FromDer(AsBytes(kamailio_)));
  verification_.Answer(v1::VERDICT_VALID, true, 0);
  EXPECT_OK(judge_->CheckIsAppServer(certificate));
  EXPECT_EQ(verification_.requests().back().role(), v1::CERTIFICATE_ROLE_APP_SERVER);
  verification_.Answer(v1::VERDICT_INVALID, false, 0);
  EXPECT_THAT(judge_->CheckIsAppServer(certificate),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("(because): `trustctl trust add --role")));
  tvsd_->Shutdown(absl::ZeroDuration());
  EXPECT_THAT(judge_->CheckIsAppServer(certificate), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("tvsd")));
}

}  // namespace
}  // namespace trustline
