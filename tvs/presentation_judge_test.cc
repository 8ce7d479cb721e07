#include "tvs/presentation_judge.h"

#include <mutex>

#include "common/bytes/bytes.h"
#include "common/rpc/channel.h"
#include "common/rpc/rpc_testing.h"
#include "common/rpc/server.h"
#include "common/status/status.h"
#include "proto/node.grpc.pb.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Answers what it was given, else that nobody is harmed.
class FakeNode final : public v1::Node::Service {
 public:
  grpc::Status PresentCertificates(grpc::ServerContext*, const v1::PresentCertificatesRequest* request,
                                   v1::PresentCertificatesResponse* response) override {
    const std::lock_guard lock(mutex);
    asked.push_back(*request);
    if (!refusal.ok()) return ToGrpc(refusal);
    response->mutable_preflight()->set_phones(3);
    response->mutable_preflight()->set_made(!request->caution().plan());
    if (request->cluster() == refuses) response->mutable_preflight()->set_refusal("1 phone would be locked out");
    return grpc::Status::OK;
  }

  std::mutex mutex;
  std::vector<v1::PresentCertificatesRequest> asked;
  std::string refuses;  // a cluster that a plan is told of
  absl::Status refusal;
};

class PresentationJudgeTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(server_, RpcServer::Start({.identity = itld_.files()}, {&node_}, health_));
    judge_.emplace(PresentationJudgeOptions{.itld = fmt::format("127.0.0.1:{}", server_->port()),
                                            .identity = own_.files(),
                                            .presented =
                                                [](const std::string&, const Presentation& presentation) {
                                                  return std::vector{presentation.certificate.sha256()};
                                                },
                                            .say_again = [this] { ++said_again_; }},
                   log_);
  }
  absl::Status Judge(const std::vector<std::string>& clusters, const v1::Caution& caution = {}) {
    return judge_->Judge({.listeners = {"[::]:2445"},
                          .clusters = clusters,
                          .certificate = certificate_,
                          .ordered_by = "trustline:default/person/alice",
                          .caution = caution},
                         preflights_);
  }

  const IdentityAuthority authority_ = *IdentityAuthority::Create(absl::Now());
  const TestIdentity own_{authority_, "trustline:default/tvsd/node1"};
  const TestIdentity itld_{authority_, "trustline:default/itld/node1"};
  const Certificate certificate_ = authority_.certificate();
  Health health_;
  std::vector<std::string> lines_;
  Log log_{{.sink = [this](std::string_view line) { lines_.emplace_back(line); }}};
  FakeNode node_;
  std::unique_ptr<RpcServer> server_;
  std::optional<PresentationJudge> judge_;
  google::protobuf::RepeatedPtrField<v1::ListenerPreFlight> preflights_;
  int said_again_ = 0;
};

TEST_F(PresentationJudgeTest, OneClusterIsAskedOnceWithTheAdministratorsTerms) {
  v1::Caution caution;
  caution.set_accept_unproven(2);
  ASSERT_OK(Judge({"default"}, caution));
  ASSERT_THAT(node_.asked, SizeIs(1));
  EXPECT_EQ(node_.asked[0].cluster(), "default");
  EXPECT_EQ(node_.asked[0].ordered_by(), "trustline:default/person/alice");
  EXPECT_EQ(node_.asked[0].caution().accept_unproven(), 2);
  EXPECT_FALSE(node_.asked[0].caution().plan());
  EXPECT_THAT(node_.asked[0].certificates_sha256(), ElementsAre(AsText(certificate_.sha256())));
  ASSERT_THAT(preflights_, SizeIs(1));
  EXPECT_EQ(preflights_[0].cluster(), "default");
  EXPECT_TRUE(preflights_[0].preflight().made());
  EXPECT_EQ(said_again_, 1);
}

TEST_F(PresentationJudgeTest, NothingIsChangedAnywhereWhenOneClusterRefuses) {
  node_.refuses = "berlin";
  EXPECT_THAT(Judge({"default", "berlin"}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("cluster berlin: 1 phone would be locked")));
  ASSERT_THAT(node_.asked, SizeIs(2));
  EXPECT_TRUE(node_.asked[0].caution().plan());
  EXPECT_TRUE(node_.asked[1].caution().plan());
  EXPECT_EQ(said_again_, 0);

  node_.refuses.clear();
  node_.asked.clear();
  ASSERT_OK(Judge({"default", "berlin"}));
  ASSERT_THAT(node_.asked, SizeIs(4)) << "both are planned first";
  EXPECT_FALSE(node_.asked[3].caution().plan());
  EXPECT_THAT(preflights_, SizeIs(2));
}

TEST_F(PresentationJudgeTest, APlanChangesNothingAndTellsTheRefusal) {
  node_.refuses = "default";
  v1::Caution caution;
  caution.set_plan(true);
  ASSERT_OK(Judge({"default"}, caution));
  ASSERT_THAT(node_.asked, SizeIs(1));
  EXPECT_TRUE(node_.asked[0].caution().plan());
  EXPECT_THAT(preflights_[0].preflight().refusal(), HasSubstr("locked out"));
  EXPECT_EQ(said_again_, 0);
}

TEST_F(PresentationJudgeTest, ARefusalIsPassedOn) {
  node_.refusal = absl::FailedPreconditionError("nothing was changed, because 3 phones would be locked out");
  v1::Caution caution;
  EXPECT_THAT(Judge({"default"}, caution),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("3 phones would be locked out")));
  caution.set_override_reason("they are scrapped");
  EXPECT_THAT(Judge({"default"}, caution), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(PresentationJudgeTest, WithoutItldOnlyAnOverridePresentsWhatNobodyHasJudged) {
  server_.reset();
  v1::Caution caution;
  EXPECT_THAT(Judge({"default"}, caution), StatusIs(absl::StatusCode::kUnavailable,
                                                    AllOf(HasSubstr("nothing was changed"), HasSubstr("--override"))));
  caution.set_plan(true);
  caution.set_override_reason("the key was stolen");
  EXPECT_THAT(Judge({"default"}, caution), StatusIs(absl::StatusCode::kUnavailable));
  log_.Flush();
  EXPECT_THAT(lines_, IsEmpty());
  caution.set_plan(false);
  EXPECT_OK(Judge({"default"}, caution));
  EXPECT_THAT(preflights_, IsEmpty());
  log_.Flush();
  EXPECT_THAT(lines_, ElementsAre(AllOf(HasSubstr("TVS_CERTIFICATE_NOT_JUDGED"), HasSubstr("the key was stolen"))));
}

}  // namespace
}  // namespace trustline
