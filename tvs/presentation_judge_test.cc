#include "tvs/presentation_judge.h"

#include <map>
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
    if (request->cluster() == refuses) {
      response->mutable_preflight()->set_refusal("1 phone would be locked out");
      Add(v1::PHONE_VERDICT_LOCKED, 1, *response);
    }
    // As itld: not without its exact number.
    const auto found = unproven.find(request->cluster());
    if (found == unproven.end()) return grpc::Status::OK;
    Add(v1::PHONE_VERDICT_UNPROVEN, found->second, *response);
    if (request->caution().accept_unproven() == found->second) return grpc::Status::OK;
    const std::string text = fmt::format("--accept-unproven {}", found->second);
    if (!request->caution().plan()) return {grpc::StatusCode::FAILED_PRECONDITION, text};
    response->mutable_preflight()->set_refusal(text);
    return grpc::Status::OK;
  }

  static void Add(v1::PhoneVerdict verdict, int64_t phones, v1::PresentCertificatesResponse& response) {
    v1::PreFlight::Count& count = *response.mutable_preflight()->add_counts();
    count.set_verdict(verdict);
    count.set_phones(phones);
  }

  std::mutex mutex;
  std::vector<v1::PresentCertificatesRequest> asked;
  std::map<std::string, int64_t> unproven;  // by cluster
  std::string refuses;                      // a cluster that a plan is told of
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
                                                }},
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
}

TEST_F(PresentationJudgeTest, NothingIsChangedAnywhereWhenOneClusterRefuses) {
  node_.refuses = "berlin";
  EXPECT_THAT(Judge({"default", "berlin"}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("cluster berlin: 1 phone would be locked")));
  ASSERT_THAT(node_.asked, SizeIs(2));
  EXPECT_TRUE(node_.asked[0].caution().plan());
  EXPECT_TRUE(node_.asked[1].caution().plan());

  node_.refuses.clear();
  node_.asked.clear();
  ASSERT_OK(Judge({"default", "berlin"}));
  ASSERT_THAT(node_.asked, SizeIs(4)) << "both are planned first";
  EXPECT_FALSE(node_.asked[3].caution().plan());
  EXPECT_THAT(preflights_, SizeIs(2));
}

TEST_F(PresentationJudgeTest, UnprovenPhonesOfSeveralClustersAreAcceptedByTheirSum) {
  node_.unproven = {{"default", 4}, {"berlin", 7}};
  for (const int64_t number : {0, 4, 7, 12}) {
    v1::Caution caution;
    if (number > 0) caution.set_accept_unproven(number);
    EXPECT_THAT(Judge({"default", "berlin"}, caution),
                StatusIs(absl::StatusCode::kFailedPrecondition,
                         AllOf(HasSubstr("cluster default: --accept-unproven 4"), HasSubstr("cluster berlin"),
                               HasSubstr("together it is --accept-unproven 11"))));
  }
  node_.asked.clear();
  v1::Caution caution;
  caution.set_accept_unproven(11);
  ASSERT_OK(Judge({"default", "berlin"}, caution));
  ASSERT_THAT(node_.asked, SizeIs(4));
  EXPECT_EQ(node_.asked[2].caution().accept_unproven(), 4);
  EXPECT_EQ(node_.asked[3].caution().accept_unproven(), 7);

  node_.unproven.clear();
  EXPECT_THAT(
      Judge({"default", "berlin"}, caution),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("--accept-unproven 11 was said, and no phone")));
}

TEST_F(PresentationJudgeTest, ANodeWithoutItldSaysThatNobodyJudges) {
  PresentationJudge alone({.itld = "", .identity = {}, .presented = nullptr}, log_);
  Presentation presentation{
      .listeners = {}, .clusters = {"default"}, .certificate = certificate_, .ordered_by = "", .caution = {}};
  EXPECT_OK(alone.Judge(presentation, preflights_));
  presentation.caution.set_plan(true);
  EXPECT_THAT(alone.Judge(presentation, preflights_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nobody judges")));
}

TEST_F(PresentationJudgeTest, APlanChangesNothingAndTellsTheRefusal) {
  node_.refuses = "default";
  v1::Caution caution;
  caution.set_plan(true);
  ASSERT_OK(Judge({"default"}, caution));
  ASSERT_THAT(node_.asked, SizeIs(1));
  EXPECT_TRUE(node_.asked[0].caution().plan());
  EXPECT_THAT(preflights_[0].preflight().refusal(), HasSubstr("locked out"));
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
  EXPECT_THAT(Judge({"default"}, caution), StatusIs(absl::StatusCode::kFailedPrecondition,
                                                    AllOf(HasSubstr("presents what it did"), HasSubstr("--override"))));
  caution.set_plan(true);
  caution.set_override_reason("the key was stolen");
  EXPECT_THAT(Judge({"default"}, caution), StatusIs(absl::StatusCode::kFailedPrecondition));
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
