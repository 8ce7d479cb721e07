#include "tvs/question_flusher.h"

#include <map>
#include <mutex>

#include "common/rpc/channel.h"
#include "common/rpc/rpc_testing.h"
#include "common/rpc/server.h"
#include "common/status/status.h"

namespace trustline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// Counts as itld does, each batch once; answers with the statuses that it was given, some of them after it has counted.
class ScriptedItld final : public v1::TvsQuestions::Service {
 public:
  struct Refusal {
    absl::Status status;
    bool after_counting = false;
  };

  grpc::Status CountQuestions(grpc::ServerContext*, const v1::CountQuestionsRequest* request,
                              v1::CountQuestionsResponse*) override {
    const std::lock_guard lock(mutex);
    requests.push_back(*request);
    std::optional<Refusal> refusal;
    if (!refusals.empty()) {
      refusal = refusals.front();
      refusals.erase(refusals.begin());
    }
    if (refusal && !refusal->after_counting) return ToGrpc(refusal->status);
    auto& last = last_batch.try_emplace({request->cluster(), request->process()}, -1).first->second;
    if (request->batch() > last) {
      last = request->batch();
      for (const v1::QuestionCount& count : request->counts()) {
        counted[request->cluster() + " " + count.device() + " " + count.subject()] += count.count();
      }
      std::string words;
      for (const std::string& certificate : request->presented_certificates()) words += certificate.substr(0, 1);
      presented[request->cluster()].push_back(words);
    }
    return refusal ? ToGrpc(refusal->status) : grpc::Status::OK;
  }
  int64_t Total() {
    const std::lock_guard lock(mutex);
    int64_t total = 0;
    for (const auto& [what, count] : counted) total += count;
    return total;
  }

  // Of batches that were taken, each once; a cluster's, a word for each: its certificates' first bytes.
  std::vector<std::string> Presented(const std::string& cluster) {
    const std::lock_guard lock(mutex);
    return presented[cluster];
  }

  std::mutex mutex;
  std::vector<Refusal> refusals;
  std::vector<v1::CountQuestionsRequest> requests;
  std::map<std::string, int64_t> counted;
  std::map<std::string, std::vector<std::string>> presented;
  std::map<std::pair<std::string, uint64_t>, int64_t> last_batch;
};

class QuestionFlusherTest : public testing::Test {
 protected:
  QuestionFlusherTest() {
    clusters_.push_back(std::make_unique<FollowedCluster>("default"));
    clusters_.push_back(std::make_unique<FollowedCluster>("branch"));
    counter_.emplace(1, clusters_);
  }
  QuestionFlusherOptions Options(uint16_t port, std::chrono::milliseconds interval = std::chrono::milliseconds(1)) {
    return {.itld = fmt::format("127.0.0.1:{}", port),
            .identity = own_.files(),
            .node = "node1",
            .interval = interval,
            .batch_size = 10};
  }
  std::unique_ptr<RpcServer> Serve(ScriptedItld& itld, uint16_t port = 0) {
    auto server = RpcServer::Start({.address = "127.0.0.1", .port = port, .identity = itld_.files()}, {&itld}, health_);
    EXPECT_OK(server);
    return server.ok() ? *std::move(server) : nullptr;
  }
  void Ask(const std::string& signer, const std::string& device = "CP-8841-SEP001122334455", uint16_t cluster = 0) {
    const std::string subject = "CN=" + signer;
    AnsweredQuestion question;
    question.answer = {.cluster = cluster, .is_query = true, .reason = InvalidReason::kUnknown};
    question.at_us = absl::ToUnixMicros(absl::Now());
    question.signer = Sha256(AsBytes(signer));
    question.device = device;
    question.address = "192.0.2.1";
    question.subject = subject;
    question.issuer = "CN=issuer";
    question.serial = AsBytes("\x01");
    counter_->Count(0, question);
  }
  void AskAbout(int signers) {
    for (int i = 0; i < signers; ++i) Ask(fmt::format("{}", i));
  }
  static void AwaitTotal(ScriptedItld& itld, int64_t total) {
    while (itld.Total() < total) std::this_thread::yield();
  }
  // The cluster default is shown the certificates "a", "b" and so on; the cluster branch none.
  void Present(const std::string& certificates) {
    const std::lock_guard lock(presented_mutex_);
    presented_ = certificates;
  }
  QuestionFlusherOptions Presenting(uint16_t port) {
    QuestionFlusherOptions options = Options(port);
    options.presented = [this](const std::string& cluster) {
      std::vector<Sha256Digest> certificates;
      const std::lock_guard lock(presented_mutex_);
      for (const char name : presented_) {
        if (cluster == "default") certificates.emplace_back().fill(static_cast<uint8_t>(name));
      }
      return certificates;
    };
    return options;
  }
  static void AwaitPresented(ScriptedItld& itld, size_t times) {
    while (itld.Presented("default").size() < times) std::this_thread::yield();
  }
  std::vector<std::string> Lines(std::string_view event) {
    log_.Flush();
    const std::lock_guard lock(lines_mutex_);
    std::vector<std::string> found;
    for (const std::string& line : lines_) {
      if (line.find(event) != std::string::npos) found.push_back(line);
    }
    return found;
  }

  const IdentityAuthority authority_ = *IdentityAuthority::Create(absl::Now());
  const TestIdentity own_{authority_, "trustline:default/tvsd/node1"};
  const TestIdentity itld_{authority_, "trustline:default/itld/node1"};
  Health health_;
  std::mutex presented_mutex_;
  std::string presented_;
  std::mutex lines_mutex_;
  std::vector<std::string> lines_;
  Log log_{{.sink = [this](std::string_view line) {
    const std::lock_guard lock(lines_mutex_);
    lines_.emplace_back(line);
  }}};
  std::vector<std::unique_ptr<FollowedCluster>> clusters_;
  std::optional<QuestionCounter> counter_;
};

TEST_F(QuestionFlusherTest, PassesOnInBatchesWhatWasAsked) {
  ScriptedItld itld;
  const auto server = Serve(itld);
  QuestionFlusher flusher(Options(server->port()), *counter_, log_);
  AskAbout(25);
  Ask("0");
  Ask("0", "CSFX", 1);
  flusher.Start();
  AwaitTotal(itld, 27);
  flusher.Stop();
  EXPECT_EQ(itld.counted["default SEP001122334455 CN=0"], 2);
  EXPECT_EQ(itld.counted["branch CSFX CN=0"], 1);
  EXPECT_THAT(itld.requests, SizeIs(4));
  for (const auto& request : itld.requests) {
    EXPECT_EQ(request.node(), "node1");
    EXPECT_EQ(request.process(), itld.requests[0].process());
    EXPECT_LE(request.counts_size(), 10);
  }
  const v1::QuestionCount& count = itld.requests[0].counts(0);
  EXPECT_EQ(count.kind(), v1::QUESTION_KIND_QUERY);
  EXPECT_EQ(count.verdict(), v1::VERDICT_INVALID);
  EXPECT_EQ(count.reason(), v1::INVALID_REASON_UNKNOWN);
  EXPECT_EQ(count.issuer(), "CN=issuer");
  EXPECT_EQ(count.address(), "192.0.2.1");
  EXPECT_EQ(flusher.waiting(), 0u);
}

// The answer to a batch is lost, another batch never arrives: each is sent again under its number.
TEST_F(QuestionFlusherTest, CountsOnceHoweverOftenItIsSent) {
  ScriptedItld itld;
  itld.refusals = {{Unavailable("lost answer"), true},
                   {Unavailable("lost answer"), true},
                   {Unavailable("away")},
                   {absl::DeadlineExceededError("slow"), true}};
  const auto server = Serve(itld);
  QuestionFlusher flusher(Options(server->port()), *counter_, log_);
  flusher.Start();
  AskAbout(25);
  AwaitTotal(itld, 25);
  AskAbout(25);
  AwaitTotal(itld, 50);
  flusher.Stop();
  EXPECT_EQ(itld.Total(), 50);
  EXPECT_TRUE(itld.refusals.empty());
  EXPECT_EQ(itld.requests[0].batch(), 0);
  EXPECT_EQ(itld.requests[1].batch(), 0);
  EXPECT_EQ(itld.requests[0].SerializeAsString(), itld.requests[1].SerializeAsString());
  EXPECT_THAT(Lines("TVS_QUESTIONS_WAIT"), ElementsAre(HasSubstr("lost answer"), HasSubstr("away"), HasSubstr("slow")));
  EXPECT_THAT(Lines("TVS_QUESTIONS_PASSED_ON"), SizeIs(1));
}

TEST_F(QuestionFlusherTest, WhileItldIsAwayItKeepsWhatIsAskedWithinBounds) {
  ScriptedItld itld;
  auto server = Serve(itld);
  const uint16_t port = server->port();
  server->Shutdown();
  server.reset();
  QuestionFlusherOptions options = Options(port);
  options.limits = {.questions = 20, .signers = 20};
  QuestionFlusher flusher(options, *counter_, log_);
  flusher.Start();
  for (int i = 0; i < 5'000; ++i) Ask("unknown", fmt::format("CSF{}", i));
  while (Lines("TVS_QUESTIONS_WAIT").empty()) std::this_thread::yield();
  for (int i = 0; i < 5'000; ++i) Ask("unknown", fmt::format("CSF{}", i));
  server = Serve(itld, port);
  AwaitTotal(itld, 10'000);
  flusher.Stop();
  EXPECT_EQ(itld.Total(), 10'000);
  EXPECT_GT(itld.counted["default  CN=unknown"], 9'000 - static_cast<int64_t>(counter_->nameless()));
  EXPECT_GT(flusher.without_room(), 9'000u);
}

TEST_F(QuestionFlusherTest, SendsTheLastOfItWhenItStops) {
  ScriptedItld itld;
  const auto server = Serve(itld);
  QuestionFlusher flusher(Options(server->port(), std::chrono::hours(1)), *counter_, log_);
  flusher.Start();
  AskAbout(25);
  flusher.Stop();
  EXPECT_EQ(itld.Total(), 25);
  EXPECT_THAT(Lines("TVS_QUESTIONS_LOST"), SizeIs(0));
}

TEST_F(QuestionFlusherTest, AMuteItldKeepsNobodyFromStoppingAndWhatIsLostIsSaid) {
  ScriptedItld itld;
  const auto server = Serve(itld);
  QuestionFlusherOptions options = Options(server->port(), std::chrono::hours(1));
  options.stop_patience = std::chrono::milliseconds(50);
  QuestionFlusher flusher(options, *counter_, log_);
  flusher.Start();
  {
    const std::lock_guard mute(itld.mutex);
    AskAbout(25);
    const absl::Time before = absl::Now();
    flusher.Stop();
    EXPECT_LT(absl::Now() - before, absl::Seconds(10));
  }
  EXPECT_THAT(Lines("TVS_QUESTIONS_LOST"), ElementsAre(HasSubstr("25")));
}

TEST_F(QuestionFlusherTest, SaysWhatPhonesAreShownWithoutBeingAskedAnything) {
  ScriptedItld itld;
  const auto server = Serve(itld);
  Present("ba");
  QuestionFlusher flusher(Presenting(server->port()), *counter_, log_);
  flusher.Start();
  AwaitPresented(itld, 1);
  Ask("0");
  AwaitPresented(itld, 2);
  Present("cba");
  AwaitPresented(itld, 3);
  Present("cc");
  AwaitPresented(itld, 4);
  Ask("0");
  Ask("0", "CSFX", 1);
  AwaitTotal(itld, 3);
  flusher.Stop();
  // Nothing that is known is said again without a reason, in any of the rounds of a millisecond.
  EXPECT_THAT(itld.Presented("default"), ElementsAre("ab", "ab", "abc", "c", "c"));
  EXPECT_THAT(itld.Presented("branch"), ElementsAre(""));
  EXPECT_EQ(itld.requests[0].counts_size(), 0);
  EXPECT_EQ(itld.requests[0].batch(), 0);
  EXPECT_EQ(itld.requests[0].presented_certificates(0), std::string(32, 'a'));
  EXPECT_EQ(itld.requests[1].counts_size(), 1);
  EXPECT_EQ(itld.requests[1].batch(), 1);
}

TEST_F(QuestionFlusherTest, WhatPhonesAreShownIsSentUntilItldHasTakenIt) {
  ScriptedItld itld;
  itld.refusals = {
      {Unavailable("away")}, {Unavailable("lost answer"), true}, {absl::OkStatus()}, {InvalidArgument("a bad count")}};
  const auto server = Serve(itld);
  Present("a");
  QuestionFlusher flusher(Presenting(server->port()), *counter_, log_);
  flusher.Start();
  AwaitPresented(itld, 1);
  const auto none_on_its_way = [&] {
    const std::lock_guard lock(itld.mutex);
    return itld.requests.size() == 3;
  };
  while (!none_on_its_way()) std::this_thread::yield();
  // Refused for good with a bad count, it is said without it.
  Ask("0");
  AwaitPresented(itld, 2);
  flusher.Stop();
  EXPECT_THAT(itld.Presented("default"), ElementsAre("a", "a"));
  ASSERT_THAT(itld.requests, SizeIs(5));
  for (const int request : {1, 2}) {
    EXPECT_EQ(itld.requests[static_cast<size_t>(request)].SerializeAsString(), itld.requests[0].SerializeAsString());
  }
  EXPECT_EQ(itld.requests[3].counts_size(), 1);
  EXPECT_EQ(itld.requests[4].counts_size(), 0);
  EXPECT_EQ(itld.requests[4].batch(), 2);
}

TEST_F(QuestionFlusherTest, WhatPhonesAreShownIsSaidAgainAfterAWhileAndWithinBounds) {
  ScriptedItld itld;
  const auto server = Serve(itld);
  Present("abcdefghijklmnopqrstuvwxyz");
  QuestionFlusherOptions options = Presenting(server->port());
  options.presented_again = std::chrono::milliseconds(1);
  QuestionFlusher flusher(options, *counter_, log_);
  flusher.Start();
  AwaitPresented(itld, 3);
  flusher.Stop();
  EXPECT_EQ(itld.Presented("default")[2], "abcdefghijklmnop");
  EXPECT_THAT(Lines("TVS_CERTIFICATES_LEFT_OUT"), ElementsAre(HasSubstr("26")));
}

// What is wrong for good keeps nothing behind it.
TEST_F(QuestionFlusherTest, ABatchThatItldWillNeverTakeIsLeftOut) {
  ScriptedItld itld;
  itld.refusals = {{InvalidArgument("a count of -1")}};
  const auto server = Serve(itld);
  QuestionFlusher flusher(Options(server->port()), *counter_, log_);
  AskAbout(25);
  Ask("0", "CSFX", 1);
  flusher.Start();
  AwaitTotal(itld, 16);
  flusher.Stop();
  EXPECT_EQ(itld.Total(), 16);
  EXPECT_EQ(itld.counted["branch CSFX CN=0"], 1);
  EXPECT_THAT(Lines("TVS_QUESTIONS_REFUSED"), ElementsAre(HasSubstr("a count of -1")));
}

}  // namespace
}  // namespace trustline
