// trustctl tvs questions against a service whose answers the test decides.
#include "cli/trustctl/trustctl_testing.h"
#include "proto/tvs_question.grpc.pb.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

// Gives its questions in pages of the size that is asked for; keeps what it was asked.
class FakeTvsQuestions final : public v1::TvsQuestions::Service {
 public:
  grpc::Status ListQuestions(grpc::ServerContext*, const v1::ListQuestionsRequest* request,
                             v1::ListQuestionsResponse* response) override {
    asked.push_back(*request);
    if (refusal.error_code() != grpc::StatusCode::OK) return refusal;
    size_t next = request->page_token().empty() ? 0 : std::stoul(request->page_token());
    while (next < questions.size() && response->questions_size() < std::min(request->page_size(), largest_page)) {
      *response->add_questions() = questions[next++];
    }
    if (next < questions.size()) response->set_next_page_token(std::to_string(next));
    return grpc::Status::OK;
  }

  std::vector<v1::ListQuestionsResponse::Question> questions;
  int32_t largest_page = 1'000;
  grpc::Status refusal;
  std::vector<v1::ListQuestionsRequest> asked;
};

class TvsQuestionsTest : public TrustctlFixture {
 protected:
  void SetUp() override {
    TrustctlFixture::SetUp();
    ASSERT_OK_AND_ASSIGN(itld_, StartServer("itld", {&service_}));
    WriteContext({{"itld", itld_.get()}});
    Add("CN=unknown\x1b[2J", v1::INVALID_REASON_UNKNOWN, 3);
    Add("CN=old", v1::INVALID_REASON_EXPIRED, 90);
    Add("CN=server", v1::INVALID_REASON_UNSPECIFIED, 50).set_verdict(v1::VERDICT_VALID);
    Add("CN=lsc", v1::INVALID_REASON_UNSPECIFIED, 2);
  }
  v1::ListQuestionsResponse::Question& Add(const std::string& subject, v1::InvalidReason reason, int64_t count) {
    v1::ListQuestionsResponse::Question& question = service_.questions.emplace_back();
    question.set_kind(v1::QUESTION_KIND_QUERY);
    question.set_subject(subject);
    question.set_issuer("CN=issuer");
    question.set_serial("\x01\xfe");
    question.set_verdict(v1::VERDICT_INVALID);
    question.set_reason(reason);
    question.set_count(count);
    question.set_phones(2);
    question.add_nodes("node1");
    question.add_nodes("node2");
    question.mutable_first_at()->set_seconds(1'795'377'060);
    question.mutable_last_at()->set_seconds(1'795'377'120);
    return question;
  }

  FakeTvsQuestions service_;
  std::unique_ptr<RpcServer> itld_;
};

TEST_F(TvsQuestionsTest, ShowsThemAsATableAndAsData) {
  const ProgramResult table = Run({"tvs", "questions"});
  EXPECT_EQ(table.exit_status, 0) << table.err;
  EXPECT_THAT(table.out, AllOf(StartsWith("VERDICT"), HasSubstr("invalid  unknown"), HasSubstr("node1,node2"),
                               HasSubstr("01fe"), HasSubstr("without a role"), HasSubstr("2026-11-22T19:52:00Z"),
                               Not(HasSubstr("\x1b")), Not(HasSubstr("DEVICE"))));
  EXPECT_LT(table.out.find("CN=unknown"), table.out.find("CN=old"));
  EXPECT_EQ(service_.asked[0].cluster(), "default");
  EXPECT_EQ(service_.asked[0].verdict(), v1::VERDICT_UNSPECIFIED);
  EXPECT_FALSE(service_.asked[0].has_since());

  const ProgramResult json = Run({"tvs", "questions", "--limit", "1", "--output", "json"});
  EXPECT_THAT(json.out, AllOf(HasSubstr("\"verdict\":\"invalid\""), HasSubstr("\"reason\":\"unknown\""),
                              HasSubstr("\"count\":3"), HasSubstr("\"phones\":2"), HasSubstr("\"device\":null"),
                              HasSubstr("\"question\":\"query\""), HasSubstr("\"first_asked\":\"2026-11-22T19:51:00")));
  const ProgramResult csv = Run({"tvs", "questions", "--output", "csv"});
  EXPECT_THAT(csv.out, StartsWith("verdict,reason,count,phones,device,subject,issuer,serial,question,nodes,"
                                  "first_asked,last_asked\r\n"));
}

TEST_F(TvsQuestionsTest, AsksForWhatTheOptionsSay) {
  const ProgramResult result = Run({"tvs", "questions", "--device", "sep001122334455", "--verdict", "valid", "--since",
                                    "2026-11-22T08:00:00Z", "--by-device"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  const v1::ListQuestionsRequest& asked = service_.asked.at(0);
  EXPECT_EQ(asked.device(), "SEP001122334455");
  EXPECT_EQ(asked.verdict(), v1::VERDICT_VALID);
  EXPECT_EQ(asked.since().seconds(), 1'795'334'400);
  EXPECT_TRUE(asked.by_device());
  EXPECT_THAT(result.out, AllOf(HasSubstr("DEVICE"), Not(HasSubstr("PHONES"))));
  const ProgramResult relative = Run({"tvs", "questions", "--since", "24h"});
  EXPECT_NEAR(static_cast<double>(service_.asked.at(1).since().seconds()),
              static_cast<double>(absl::ToUnixSeconds(absl::Now() - absl::Hours(24))), 60);
}

TEST_F(TvsQuestionsTest, UnknownIsTheBeginningOfTheInvalid) {
  const ProgramResult result = Run({"tvs", "questions", "--unknown"});
  EXPECT_THAT(result.out, AllOf(HasSubstr("CN=unknown"), Not(HasSubstr("CN=old"))));
  EXPECT_EQ(service_.asked.at(0).verdict(), v1::VERDICT_INVALID);
  // No page more than is needed.
  service_.largest_page = 1;
  EXPECT_THAT(Run({"tvs", "questions", "--unknown"}).out, Not(HasSubstr("CN=old")));
  EXPECT_THAT(service_.asked, SizeIs(3));
  service_.questions.erase(service_.questions.begin());
  EXPECT_EQ(Run({"tvs", "questions", "--unknown"}).out, "(no questions)\n");
}

TEST_F(TvsQuestionsTest, WalksOverThePagesUpToTheLimit) {
  service_.largest_page = 1;
  EXPECT_THAT(Run({"tvs", "questions"}).out, AllOf(HasSubstr("CN=unknown"), HasSubstr("CN=lsc")));
  EXPECT_THAT(service_.asked, SizeIs(4));
  service_.asked.clear();
  const ProgramResult two = Run({"tvs", "questions", "--limit", "2"});
  EXPECT_THAT(two.out, AllOf(HasSubstr("CN=old"), Not(HasSubstr("CN=server"))));
  EXPECT_THAT(service_.asked, SizeIs(2));
  EXPECT_EQ(service_.asked[0].page_size(), 2);
}

TEST_F(TvsQuestionsTest, MistakesAndRefusals) {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"--device", "nobody"},
                                             {"--verdict", "perhaps"},
                                             {"--unknown", "--verdict", "valid"},
                                             {"--since", "soon"},
                                             {"--limit", "-1"}}) {
    std::vector<std::string> whole = {"tvs", "questions"};
    whole.insert(whole.end(), arguments.begin(), arguments.end());
    EXPECT_EQ(Run(whole).exit_status, 2) << arguments[0];
  }
  EXPECT_THAT(service_.asked, SizeIs(0));
  service_.refusal = {grpc::StatusCode::PERMISSION_DENIED, "needs the role viewer"};
  const ProgramResult refused = Run({"tvs", "questions", "--output", "json"});
  EXPECT_EQ(refused.exit_status, 1);
  EXPECT_EQ(refused.out, "");
  EXPECT_THAT(refused.err, HasSubstr("needs the role viewer"));
}

}  // namespace
}  // namespace trustline
