#include "common/service/denial_aggregator.h"

#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const absl::Time kNow = absl::FromUnixSeconds(1'795'000'000);

class DenialAggregatorTest : public testing::Test {
 protected:
  std::vector<std::string> Add(DenialAggregator& aggregator, absl::Duration after, const std::string& actor,
                               const std::string& method, std::string_view peer = "ipv4:192.0.2.1",
                               int32_t cluster_id = 1, const std::string& reason = "first") {
    return Texts(aggregator.Add({.cluster_id = cluster_id,
                                 .occurred_at = kNow + after,
                                 .actor = actor,
                                 .action = "access.denied",
                                 .subject = method,
                                 .outcome = AuditOutcome::kDenied,
                                 .detail = {{"reason", reason}}},
                                peer));
  }
  static std::vector<std::string> Texts(const std::vector<AuditEvent>& events) {
    std::vector<std::string> texts;
    for (const AuditEvent& event : events) {
      EXPECT_EQ(event.action, "access.denied");
      EXPECT_EQ(event.outcome, AuditOutcome::kDenied);
      texts.push_back(fmt::format("{} +{} {} {} {}", event.cluster_id, absl::ToInt64Seconds(*event.occurred_at - kNow),
                                  event.actor, event.subject, AuditDetailJson(event)));
    }
    return texts;
  }
};

TEST_F(DenialAggregatorTest, TheFirstOfAKindIsRecordedAtOnceTheOthersAsACount) {
  DenialAggregator aggregator;
  EXPECT_TRUE(aggregator.empty());
  EXPECT_THAT(Add(aggregator, absl::Seconds(0), "eve", "A"), ElementsAre(R"(1 +0 eve A {"reason":"first"})"));
  EXPECT_THAT(Add(aggregator, absl::Seconds(1), "eve", "A"), IsEmpty());
  // What differs in anything else is another kind.
  EXPECT_THAT(Add(aggregator, absl::Seconds(2), "eve", "B"), SizeIs(1));
  EXPECT_THAT(Add(aggregator, absl::Seconds(2), "mallory", "A"), SizeIs(1));
  EXPECT_THAT(Add(aggregator, absl::Seconds(2), "eve", "A", "ipv4:192.0.2.2"), SizeIs(1));
  EXPECT_THAT(Add(aggregator, absl::Seconds(2), "eve", "A", "ipv4:192.0.2.1", 2), SizeIs(1));
  EXPECT_THAT(Add(aggregator, absl::Seconds(2), "eve", "A", "ipv4:192.0.2.1", 1, "second"), SizeIs(1));
  EXPECT_THAT(Add(aggregator, absl::Seconds(59), "eve", "A"), IsEmpty());
  EXPECT_THAT(aggregator.TakeIfOver(kNow + absl::Seconds(59)), IsEmpty());
  EXPECT_FALSE(aggregator.empty());
  EXPECT_THAT(
      Texts(aggregator.TakeIfOver(kNow + absl::Seconds(60))),
      ElementsAre(
          R"(1 +59 eve A {"peer":"ipv4:192.0.2.1","count":"2","since":"2026-11-18T11:06:40.000Z","reason":"first"})"));
  EXPECT_TRUE(aggregator.empty());
  EXPECT_THAT(aggregator.TakeAll(), IsEmpty());
}

TEST_F(DenialAggregatorTest, ADenialAfterTheWindowBringsItsCountsAndBeginsTheNext) {
  DenialAggregator aggregator;
  Add(aggregator, absl::Seconds(0), "eve", "A");
  Add(aggregator, absl::Seconds(1), "eve", "A");
  EXPECT_THAT(
      Add(aggregator, absl::Seconds(90), "eve", "A"),
      ElementsAre(
          R"(1 +1 eve A {"peer":"ipv4:192.0.2.1","count":"1","since":"2026-11-18T11:06:40.000Z","reason":"first"})",
          R"(1 +90 eve A {"reason":"first"})"));
  EXPECT_THAT(aggregator.TakeIfOver(kNow + absl::Seconds(149)), IsEmpty());
  EXPECT_FALSE(aggregator.empty());
}

TEST_F(DenialAggregatorTest, AClockThatIsSetBackEndsTheWindow) {
  DenialAggregator aggregator;
  Add(aggregator, absl::Seconds(0), "eve", "A");
  Add(aggregator, absl::Seconds(0), "eve", "A");
  EXPECT_THAT(aggregator.TakeIfOver(kNow - absl::Hours(1)), SizeIs(1));
}

TEST_F(DenialAggregatorTest, KindsBeyondTheBoundAreCountedTogether) {
  DenialAggregator aggregator(2);
  EXPECT_THAT(Add(aggregator, absl::Seconds(0), "a", "A"), SizeIs(1));
  EXPECT_THAT(Add(aggregator, absl::Seconds(0), "b", "A"), SizeIs(1));
  for (int i = 0; i < 5000; ++i) {
    EXPECT_THAT(Add(aggregator, absl::Seconds(1), fmt::format("c{}", i), "A", "", 1 + i % 2), IsEmpty());
  }
  EXPECT_THAT(Texts(aggregator.TakeAll()),
              ElementsAre(R"(1 +1 others  {"count":"2500","since":"2026-11-18T11:06:40.000Z"})",
                          R"(2 +1 others  {"count":"2500","since":"2026-11-18T11:06:40.000Z"})"));
}

}  // namespace
}  // namespace trustline
