#include "provisioning/report_queue.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "provisioning/report_client_testing.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ReportQueueTest : public ::testing::Test {
 protected:
  bool Add(const PhoneTrustReport& report, int second = 0) {
    ReportQueue::Done done = answers_.For(report.device);
    return queue_.Add(report, done, ReportQueue::Time(seconds(second)));
  }
  std::vector<std::string> Take(size_t most) {
    v1::ReportPhoneTrustRequest request;
    queue_.Take(most, request);
    std::vector<std::string> devices;
    for (const auto& report : request.reports()) devices.push_back(report.device());
    return devices;
  }
  // "A OK", "B UNAVAILABLE".
  std::vector<std::string> Tell(std::vector<ReportQueue::Answer> answers) {
    const size_t before = answers_.answers().size();
    for (const ReportQueue::Answer& answer : answers) answer.done(answer.status);
    std::vector<std::string> told;
    const auto all = answers_.answers();
    for (size_t i = before; i < all.size(); ++i) {
      told.push_back(all[i].first + " " + absl::StatusCodeToString(all[i].second.code()));
    }
    return told;
  }
  std::vector<std::string> Expire(int second) { return Tell(queue_.Expire(ReportQueue::Time(seconds(second)))); }

  AnswerCollector answers_;
  ReportQueue queue_{{.most_evidence = 4, .most_claims = 2, .patience = seconds(10)}};
};

TEST_F(ReportQueueTest, GivesOutTheOldestFirstAndEvidenceBeforeClaims) {
  EXPECT_TRUE(Add(ClaimOf("c1")));
  EXPECT_TRUE(Add(EvidenceOf("e1")));
  EXPECT_TRUE(Add(ClaimOf("c2")));
  EXPECT_TRUE(Add(EvidenceOf("e2")));
  EXPECT_FALSE(Add(ClaimOf("c3"))) << "no room";
  EXPECT_TRUE(Add(EvidenceOf("e3")));
  EXPECT_THAT(Take(2), ElementsAre("e1", "e2"));
  EXPECT_THAT(Take(2), ElementsAre("e3", "c1"));
  EXPECT_THAT(Take(2), ElementsAre("c2"));
  EXPECT_THAT(Take(2), IsEmpty());
  EXPECT_EQ(queue_.requests_under_way(), 3u);
  EXPECT_THAT(Tell(queue_.Settle({})), ElementsAre("e1 OK", "e2 OK"));
  EXPECT_THAT(Tell(queue_.Settle({{1, absl::InvalidArgumentError("no")}})),
              ElementsAre("e3 OK", "c1 INVALID_ARGUMENT"));
  EXPECT_TRUE(Add(ClaimOf("c4"))) << "room again";
  EXPECT_THAT(Tell(queue_.Settle({})), ElementsAre("c2 OK"));
  EXPECT_THAT(Take(9), ElementsAre("c4"));
}

TEST_F(ReportQueueTest, WhatIsTakenBackIsTakenAgainInItsOrder) {
  for (const char* device : {"e1", "e2", "e3"}) EXPECT_TRUE(Add(EvidenceOf(device)));
  EXPECT_THAT(Take(1), ElementsAre("e1"));
  EXPECT_THAT(Take(1), ElementsAre("e2"));
  EXPECT_THAT(Tell(queue_.Settle({})), ElementsAre("e1 OK"));
  queue_.TakeBack();
  EXPECT_THAT(Take(9), ElementsAre("e2", "e3"));
  EXPECT_THAT(Tell(queue_.Settle({})), ElementsAre("e2 OK", "e3 OK"));
  EXPECT_TRUE(queue_.empty());
}

TEST_F(ReportQueueTest, WhoWaitedLongIsToldOnceAndTheReportStays) {
  EXPECT_EQ(queue_.NextExpiry(), ReportQueue::Time::max());
  EXPECT_TRUE(Add(EvidenceOf("e1"), 0));
  EXPECT_TRUE(Add(ClaimOf("c1"), 1));
  EXPECT_TRUE(Add(EvidenceOf("e2"), 2));
  EXPECT_EQ(queue_.NextExpiry(), ReportQueue::Time(seconds(10)));
  EXPECT_THAT(Expire(9), IsEmpty());
  EXPECT_THAT(Take(9), ElementsAre("e1", "e2", "c1"));
  EXPECT_THAT(Expire(10), ElementsAre("e1 UNAVAILABLE"));
  EXPECT_EQ(queue_.NextExpiry(), ReportQueue::Time(seconds(11)));
  EXPECT_THAT(Expire(11), ElementsAre("c1 UNAVAILABLE"));
  EXPECT_THAT(Expire(11), IsEmpty());
  EXPECT_THAT(Tell(queue_.Settle({})), ElementsAre("e2 OK"));
  // What was told before counts for nobody that comes later.
  EXPECT_TRUE(Add(EvidenceOf("e3"), 20));
  EXPECT_THAT(Expire(29), IsEmpty());
  EXPECT_THAT(Expire(30), ElementsAre("e3 UNAVAILABLE"));
  EXPECT_EQ(queue_.evidence(), 1u);
  EXPECT_TRUE(Add(EvidenceOf("e4"), 30));
  EXPECT_THAT(Tell(queue_.Clear(absl::UnavailableError("the end"))), ElementsAre("e4 UNAVAILABLE"));
  EXPECT_TRUE(queue_.empty());
}

}  // namespace
}  // namespace trustline
