#include "itl/question/question_service.h"

#include <functional>
#include <random>

#include "common/rpc/proto_time.h"
#include "itl/itl_services_testing.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;
using Stub = v1::TvsQuestions::Stub;

class QuestionServiceTest : public ItlServicesTest {
 protected:
  void SetUp() override {
    ItlServicesTest::SetUp();
    ASSERT_OK_AND_ASSIGN(service_, QuestionService::Create(*authorizer_, *pool_, clock_));
    server_->Shutdown(absl::ZeroDuration());
    ASSERT_OK_AND_ASSIGN(server_, RpcServer::Start({.identity = itld_identity_.files()}, {service_.get()}, health_));
    RunByHand(
        "INSERT INTO node (name, identity, identity_expires_at) VALUES ('node1', 'trustline:default/tvsd/node1', "
        "now() + interval '90 days')");
    ASSERT_OK(authorizer_->WaitForRefresh(absl::Seconds(30)));
  }

  static v1::CountQuestionsRequest Batch() {
    v1::CountQuestionsRequest request;
    request.set_cluster("default");
    request.set_node("node1");
    request.set_process(UINT64_MAX);
    v1::QuestionCount& count = *request.add_counts();
    count.set_device("SEP001122334455");
    count.set_kind(v1::QUESTION_KIND_QUERY);
    count.set_subject("CN=a");
    count.set_issuer("CN=b");
    count.set_serial("\x01\x02");
    count.set_verdict(v1::VERDICT_INVALID);
    count.set_reason(v1::INVALID_REASON_UNKNOWN);
    count.set_count(3);
    *count.mutable_first_at() = ToProtoTime(absl::Now() - absl::Seconds(5));
    *count.mutable_last_at() = ToProtoTime(absl::Now());
    count.set_address("192.0.2.1");
    return request;
  }
  absl::Status Send(const v1::CountQuestionsRequest& request, const TestIdentity& identity) {
    v1::CountQuestionsResponse response;
    return Call(*As<v1::TvsQuestions>(identity.files()), &Stub::CountQuestions, request, response);
  }
  absl::StatusOr<v1::ListQuestionsResponse> List(v1::ListQuestionsRequest request = {}) {
    request.set_cluster("default");
    v1::ListQuestionsResponse response;
    RETURN_IF_ERROR(Call(*As<v1::TvsQuestions>(viewer_.files()), &Stub::ListQuestions, request, response));
    return response;
  }

  const TestIdentity node1_{authority_, "trustline:default/tvsd/node1"};
  std::unique_ptr<QuestionService> service_;
};

TEST_F(QuestionServiceTest, ANodeCountsForItselfAndAViewerSeesIt) {
  ASSERT_OK(Send(Batch(), node1_));
  ASSERT_OK(Send(Batch(), node1_));  // the same batch
  ASSERT_OK_AND_ASSIGN(const v1::ListQuestionsResponse response, List());
  ASSERT_EQ(response.questions_size(), 1);
  const v1::ListQuestionsResponse::Question& question = response.questions(0);
  EXPECT_EQ(question.kind(), v1::QUESTION_KIND_QUERY);
  EXPECT_EQ(question.subject(), "CN=a");
  EXPECT_EQ(question.issuer(), "CN=b");
  EXPECT_EQ(question.serial(), "\x01\x02");
  EXPECT_EQ(question.verdict(), v1::VERDICT_INVALID);
  EXPECT_EQ(question.reason(), v1::INVALID_REASON_UNKNOWN);
  EXPECT_EQ(question.count(), 3);
  EXPECT_EQ(question.phones(), 1);
  EXPECT_THAT(question.nodes(), ::testing::ElementsAre("node1"));
}

TEST_F(QuestionServiceTest, ANodeSaysWhatItPresentsWithQuestionsOrWithout) {
  v1::CountQuestionsRequest request = Batch();
  for (const char name : {'b', 'a', 'b'}) request.add_presented_certificates(std::string(32, name));
  ASSERT_OK(Send(request, node1_));
  const char* const presented =
      "SELECT string_agg(node || ' ' || encode(sha256, 'escape'), ' ' ORDER BY sha256) FROM tvs_node_certificate";
  EXPECT_EQ(Text(presented), "node1 " + std::string(32, 'a') + " node1 " + std::string(32, 'b'));
  request.clear_counts();
  request.clear_presented_certificates();
  request.add_presented_certificates(std::string(32, 'c'));
  request.set_batch(1);
  ASSERT_OK(Send(request, node1_));
  EXPECT_EQ(Text(presented), "node1 " + std::string(32, 'c'));
  EXPECT_EQ(Count("SELECT sum(count)::bigint FROM tvs_question"), 3);
}

TEST_F(QuestionServiceTest, NobodyCountsForAnotherNode) {
  v1::CountQuestionsRequest request = Batch();
  request.set_node("node2");
  EXPECT_THAT(Send(request, node1_), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("node2")));
  EXPECT_THAT(Send(Batch(), admin_), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(Send(Batch(), cad_), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_EQ(Count("SELECT count(*) FROM tvs_question"), 0);
}

TEST_F(QuestionServiceTest, WhatANodeSendsIsChecked) {
  using Change = std::function<void(v1::CountQuestionsRequest&, v1::QuestionCount&)>;
  const std::vector<std::pair<std::string, Change>> bad = {
      {"device name", [](auto&, auto& count) { count.set_device("SEP00112233445G"); }},
      {"kind", [](auto&, auto& count) { count.set_kind(v1::QUESTION_KIND_UNSPECIFIED); }},
      {"subject", [](auto&, auto& count) { count.set_subject(std::string(1'101, 'x')); }},
      {"issuer", [](auto&, auto& count) { count.set_issuer(std::string("a\0b", 3)); }},
      {"serial number", [](auto&, auto& count) { count.set_serial(std::string(65, 'x')); }},
      {"answered", [](auto&, auto& count) { count.set_verdict(v1::VERDICT_UNSPECIFIED); }},
      {"reason 99", [](auto&, auto& count) { count.set_reason(static_cast<v1::InvalidReason>(99)); }},
      {"times", [](auto&, auto& count) { count.set_count(0); }},
      {"times", [](auto&, auto& count) { count.set_count(int64_t{1} << 62); }},
      {"times of its asking", [](auto&, auto& count) { count.clear_last_at(); }},
      {"address", [](auto&, auto& count) { count.set_address("host.example"); }},
      {"numbered", [](auto& request, auto&) { request.set_batch(-1); }},
      {"1 to 1000", [](auto& request, auto&) { request.clear_counts(); }},
      {"1 to 1000",
       [](auto& request, auto&) {
         const v1::QuestionCount count = request.counts(0);
         for (int i = 0; i < 1'000; ++i) *request.add_counts() = count;
       }},
      {"SHA-256", [](auto& request, auto&) { request.add_presented_certificates(std::string(31, 'a')); }},
      {"SHA-256", [](auto& request, auto&) { request.add_presented_certificates(std::string(33, 'a')); }},
      {"up to 16",
       [](auto& request, auto&) {
         for (int i = 0; i < 17; ++i) request.add_presented_certificates(std::string(32, 'a'));
       }},
  };
  for (const auto& [words, change] : bad) {
    v1::CountQuestionsRequest request = Batch();
    change(request, *request.mutable_counts(0));
    EXPECT_THAT(Send(request, node1_), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(words))) << words;
  }
  EXPECT_EQ(Count("SELECT count(*) FROM tvs_question"), 0);
  // The longest that is taken, of bytes that cannot be compressed.
  v1::CountQuestionsRequest longest = Batch();
  std::mt19937 random(7);
  for (std::string* name :
       {longest.mutable_counts(0)->mutable_subject(), longest.mutable_counts(0)->mutable_issuer()}) {
    name->clear();
    while (name->size() < 1'100) name->push_back(static_cast<char>(random() % 94 + 33));
  }
  longest.mutable_counts(0)->set_serial(std::string(64, '\xfe'));
  EXPECT_OK(Send(longest, node1_));
  // Times beyond all calendars.
  v1::CountQuestionsRequest odd = Batch();
  odd.set_batch(1);
  odd.mutable_counts(0)->mutable_first_at()->set_seconds(INT64_MIN);
  odd.mutable_counts(0)->mutable_last_at()->set_seconds(INT64_MAX);
  EXPECT_OK(Send(odd, node1_));
}

TEST_F(QuestionServiceTest, ListsInPagesAndRefusesWhatIsNone) {
  v1::CountQuestionsRequest request = Batch();
  for (int i = 0; i < 6; ++i) {
    v1::QuestionCount count = request.counts(0);
    count.set_subject(fmt::format("CN={}", i));
    count.set_count(i + 10);
    *request.add_counts() = count;
  }
  ASSERT_OK(Send(request, node1_));
  for (const bool by_device : {false, true}) {
    v1::ListQuestionsRequest list;
    list.set_page_size(2);
    list.set_by_device(by_device);
    std::vector<int64_t> counts;
    int pages = 0;
    do {
      ASSERT_OK_AND_ASSIGN(const v1::ListQuestionsResponse page, List(list));
      for (const auto& question : page.questions()) counts.push_back(question.count());
      list.set_page_token(page.next_page_token());
      ++pages;
    } while (!list.page_token().empty());
    if (by_device) {
      EXPECT_THAT(counts, ::testing::ElementsAre(78));
    } else {
      EXPECT_EQ(pages, 4);
      EXPECT_THAT(counts, ::testing::ElementsAre(15, 14, 13, 12, 11, 10, 3));
    }
  }
  v1::ListQuestionsRequest list;
  for (const char* token : {"x", "1 2 3", "1 1 -1 1 0 1 -", "1 1 1 1 0 1 SEP", "1 1 1 99999999999 0 1 -"}) {
    list.set_page_token(token);
    EXPECT_THAT(List(list), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("page token"))) << token;
  }
  list.clear_page_token();
  for (const int size : {-1, 1'001}) {
    list.set_page_size(size);
    EXPECT_THAT(List(list), StatusIs(absl::StatusCode::kInvalidArgument)) << size;
  }
  list.clear_page_size();
  list.set_device("nobody");
  EXPECT_THAT(List(list), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("device name")));
  list.set_device("sep001122334455");
  list.set_verdict(v1::VERDICT_VALID);
  ASSERT_OK_AND_ASSIGN(const v1::ListQuestionsResponse none, List(list));
  EXPECT_EQ(none.questions_size(), 0);
}

}  // namespace
}  // namespace trustline
