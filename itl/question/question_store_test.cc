#include "itl/question/question_store.h"

#include "common/postgres/transaction.h"
#include "itl/itl_testing.h"
#include "proto/verification.pb.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kPhone[] = "SEP001122334455";
constexpr char kOtherPhone[] = "SEP00112233AABB";
const absl::Time kNow = absl::FromCivil(absl::CivilSecond(2026, 11, 27, 15, 30, 0), absl::UTCTimeZone());

QuestionSigner Signer(std::string name, bool is_query = false) {
  return {.is_query = is_query, .subject = "CN=" + name, .issuer = "CN=issuer", .serial = std::string("\1\0", 2)};
}

QuestionCounts Asked(std::string device, const QuestionSigner& signer, bool valid = true, int64_t count = 1) {
  return {.device = std::move(device),
          .signer = signer,
          .valid = valid,
          .reason = valid ? v1::INVALID_REASON_UNSPECIFIED : v1::INVALID_REASON_UNKNOWN,
          .count = count,
          .first_at = kNow - absl::Minutes(2),
          .last_at = kNow - absl::Minutes(1),
          .address = "192.0.2.1"};
}

class QuestionStoreTest : public ItlDatabaseTest {
 protected:
  absl::StatusOr<bool> CountAt(absl::Time now, std::vector<QuestionCounts> counts, std::string_view node = "node1",
                               int64_t batch = -1, uint64_t process = UINT64_MAX, const QuestionLimits& limits = {}) {
    if (batch < 0) batch = next_batch_++;
    return RunInTransaction(*itld_, {}, [&](Connection& connection) {
      return QuestionStore(connection, 1, now)
          .Count({.node = std::string(node), .process = process, .number = batch, .counts = counts}, limits);
    });
  }
  absl::StatusOr<bool> CountThem(std::vector<QuestionCounts> counts, std::string_view node = "node1") {
    return CountAt(kNow, std::move(counts), node);
  }
  absl::StatusOr<std::vector<QuestionLine>> List(QuestionFilter filter = {},
                                                 const std::optional<QuestionPosition>& after = std::nullopt,
                                                 int32_t most = 100) {
    if (filter.since == absl::Time()) filter.since = kNow - absl::Hours(24);
    return RunInTransaction(*itld_, {.read_only = true}, [&](Connection& connection) {
      return QuestionStore(connection, 1, kNow).List(filter, after, most);
    });
  }
  // What List says in words: "unknown 3 of 2 phones: CN=a".
  static std::vector<std::string> Words(const absl::StatusOr<std::vector<QuestionLine>>& lines) {
    std::vector<std::string> words;
    EXPECT_OK(lines);
    if (!lines.ok()) return words;
    for (const QuestionLine& line : *lines) {
      words.push_back(fmt::format("{} {} of {} phones: {}{}{}", line.valid ? "valid" : "invalid", line.count,
                                  line.phones, line.signer ? line.signer->subject : "several",
                                  line.device.empty() ? "" : " ", line.device));
    }
    return words;
  }

  int64_t next_batch_ = 0;
};

TEST_F(QuestionStoreTest, UnknownSignersComeFirstThenTheMostAskedAbout) {
  ASSERT_OK(CountThem({Asked(kPhone, Signer("often"), true, 50), Asked(kOtherPhone, Signer("often"), true, 7),
                       Asked(kPhone, Signer("seldom")), Asked(kPhone, Signer("unknown"), false, 2)}));
  ASSERT_OK(
      CountThem({Asked(kOtherPhone, Signer("unknown"), false), Asked(kPhone, Signer("often"), true, 3)}, "node2"));
  const auto lines = List();
  EXPECT_THAT(Words(lines), ElementsAre("invalid 3 of 2 phones: CN=unknown", "valid 60 of 2 phones: CN=often",
                                        "valid 1 of 1 phones: CN=seldom"));
  EXPECT_THAT(lines->at(0).nodes, ElementsAre("node1", "node2"));
  EXPECT_THAT(lines->at(2).nodes, ElementsAre("node1"));
  EXPECT_EQ(lines->at(0).reason, v1::INVALID_REASON_UNKNOWN);
  EXPECT_EQ(*lines->at(0).signer, Signer("unknown"));
  EXPECT_EQ(lines->at(0).first_at, kNow - absl::Minutes(2));
  EXPECT_EQ(lines->at(0).last_at, kNow - absl::Minutes(1));

  EXPECT_THAT(Words(List({.valid = false})), ElementsAre("invalid 3 of 2 phones: CN=unknown"));
  EXPECT_THAT(Words(List({.valid = true})), SizeIs(2));
  EXPECT_THAT(Words(List({.device = kOtherPhone})), ElementsAre("invalid 1 of 1 phones: CN=unknown SEP00112233AABB",
                                                                "valid 7 of 1 phones: CN=often SEP00112233AABB"));
  EXPECT_THAT(Words(List({.by_device = true})), ElementsAre("invalid 2 of 1 phones: CN=unknown SEP001122334455",
                                                            "invalid 1 of 1 phones: CN=unknown SEP00112233AABB",
                                                            "valid 54 of 1 phones: several SEP001122334455",
                                                            "valid 7 of 1 phones: CN=often SEP00112233AABB"));
  EXPECT_THAT(Words(List({.device = kPhone, .by_device = true})), SizeIs(2));
  EXPECT_THAT(Words(List({.device = "SEP0000000000FF"})), IsEmpty());
}

TEST_F(QuestionStoreTest, AQueryAndAVerifyOfOneSignerAreLinesOfTheirOwn) {
  ASSERT_OK(CountThem({Asked(kPhone, Signer("a"), true, 2), Asked(kPhone, Signer("a", true))}));
  const auto lines = List();
  ASSERT_THAT(lines, IsOkAndHolds(SizeIs(2)));
  EXPECT_FALSE(lines->at(0).signer->is_query);
  EXPECT_TRUE(lines->at(1).signer->is_query);
}

TEST_F(QuestionStoreTest, ABatchThatIsSentAgainCountsOnce) {
  const auto asked = [] { return std::vector<QuestionCounts>{Asked(kPhone, Signer("a"))}; };
  EXPECT_THAT(CountAt(kNow, asked(), "node1", 0, 7), IsOkAndHolds(true));
  EXPECT_THAT(CountAt(kNow, asked(), "node1", 0, 7), IsOkAndHolds(false));
  EXPECT_THAT(CountAt(kNow, asked(), "node1", 1, 7), IsOkAndHolds(true));
  EXPECT_THAT(CountAt(kNow, asked(), "node1", 0, 7), IsOkAndHolds(false));
  EXPECT_THAT(Words(List()), ElementsAre("valid 2 of 1 phones: CN=a"));
  // Another process of the node, and another node, have numbers of their own.
  EXPECT_THAT(CountAt(kNow, asked(), "node1", 0, UINT64_MAX), IsOkAndHolds(true));
  EXPECT_THAT(CountAt(kNow, asked(), "node2", 0, 7), IsOkAndHolds(true));
  EXPECT_THAT(Words(List()), ElementsAre("valid 4 of 1 phones: CN=a"));
  // One that fails is not counted at all, and may come again.
  std::vector<QuestionCounts> bad = asked();
  bad[0].count = -1;
  EXPECT_FALSE(CountAt(kNow, bad, "node1", 2, 7).ok());
  EXPECT_THAT(CountAt(kNow, asked(), "node1", 2, 7), IsOkAndHolds(true));
}

TEST_F(QuestionStoreTest, CountsBelongToTheHourInWhichTheyWereAskedLast) {
  QuestionCounts early = Asked(kPhone, Signer("a"));
  early.first_at = kNow - absl::Hours(5);
  early.last_at = kNow - absl::Hours(3);
  QuestionCounts future = Asked(kPhone, Signer("b"));
  future.last_at = kNow + absl::Hours(24 * 365);
  QuestionCounts past = Asked(kPhone, Signer("c"));
  past.first_at = past.last_at = absl::InfinitePast();
  ASSERT_OK(CountThem({early, Asked(kPhone, Signer("a")), future, past}));
  EXPECT_EQ(Count("SELECT count(*) FROM tvs_question WHERE at = '2026-11-27 12:00Z'"), 1);
  EXPECT_EQ(Count("SELECT count(*) FROM tvs_question WHERE at = '2026-11-27 15:00Z'"), 2);
  EXPECT_EQ(Count("SELECT count(*) FROM tvs_question WHERE at = '2026-10-28 15:00Z'"), 1);
  EXPECT_THAT(Words(List({.since = kNow - absl::Minutes(1)})),
              ElementsAre("valid 1 of 1 phones: CN=a", "valid 1 of 1 phones: CN=b"));
  // The whole hour counts.
  EXPECT_THAT(Words(List({.since = kNow - absl::Hours(3)})),
              ElementsAre("valid 2 of 1 phones: CN=a", "valid 1 of 1 phones: CN=b"));
}

TEST_F(QuestionStoreTest, PagesGoOnWhereTheOneBeforeEnded) {
  std::vector<QuestionCounts> counts;
  for (int i = 0; i < 7; ++i) {
    for (const char* device : {kPhone, kOtherPhone}) {
      counts.push_back(Asked(device, Signer(fmt::format("{}", i)), i % 3 != 0, i / 2 + 1));
    }
  }
  ASSERT_OK(CountThem(counts));
  for (const bool by_device : {false, true}) {
    const auto whole = List({.by_device = by_device});
    ASSERT_OK(whole);
    ASSERT_THAT(*whole, SizeIs(by_device ? 4 : 7));
    for (const int32_t size : {1, 2, 3}) {
      std::vector<std::string> paged;
      std::optional<QuestionPosition> after;
      while (true) {
        const auto page = List({.by_device = by_device}, after, size);
        ASSERT_OK(page);
        if (page->empty()) break;
        for (const std::string& words : Words(page)) paged.push_back(words);
        const QuestionLine& last = page->back();
        after = {.unknown = last.reason == v1::INVALID_REASON_UNKNOWN,
                 .count = last.count,
                 .signer_id = last.signer_id,
                 .device = last.device,
                 .valid = last.valid,
                 .reason = last.reason};
      }
      EXPECT_EQ(paged, Words(whole)) << by_device << " by " << size;
    }
  }
}

// A node that somebody floods with invented names passes on what it has room for, hour after hour.
TEST_F(QuestionStoreTest, OverItsLimitsAnHourKeepsCountsWithoutNames) {
  const QuestionLimits limits = {.questions = 3, .signers = 2};
  const auto count = [&](std::vector<QuestionCounts> counts, absl::Time now = kNow) {
    return CountAt(now, std::move(counts), "node1", next_batch_++, 7, limits);
  };
  ASSERT_OK(count({Asked(kPhone, Signer("a")), Asked(kOtherPhone, Signer("a"))}));
  // Signers that are new go first. Besides, nobody of both kinds is a row.
  ASSERT_OK(count({Asked(kPhone, Signer("b")), Asked(kOtherPhone, Signer("b")), Asked("CSFX", Signer("c")),
                   Asked("CSFY", Signer("c")), Asked(kPhone, Signer("a"))}));
  EXPECT_EQ(Count("SELECT count(*) FROM tvs_question WHERE device <> ''"), 3);
  EXPECT_EQ(Count("SELECT count(*) FROM tvs_question_signer"), 4);
  EXPECT_EQ(Count("SELECT sum(count)::bigint FROM tvs_question"), 7);
  EXPECT_EQ(Count("SELECT sum(count)::bigint FROM tvs_question q JOIN tvs_question_signer s USING (signer_id) "
                  "WHERE s.subject = '' AND q.device = ''"),
            2);
  // What is there goes on being counted, and is complete.
  ASSERT_OK(count({Asked(kPhone, Signer("a"), true, 5), Asked("CSFZ", Signer("a"))}));
  EXPECT_EQ(Count("SELECT count FROM tvs_question JOIN tvs_question_signer USING (signer_id) "
                  "WHERE device = 'SEP001122334455' AND subject = 'CN=a'"),
            7);
  EXPECT_EQ(Count("SELECT count(*) FROM tvs_question WHERE device = 'CSFZ'"), 0);
  // The next hour has room again.
  QuestionCounts later = Asked("CSFZ", Signer("d"));
  later.first_at = later.last_at = kNow + absl::Hours(1);
  ASSERT_OK(count({later}, kNow + absl::Hours(1)));
  EXPECT_EQ(Count("SELECT count(*) FROM tvs_question WHERE device = 'CSFZ'"), 1);
}

TEST_F(QuestionStoreTest, WhatNoQuestionNeedsIsForgotten) {
  ASSERT_OK(CountAt(kNow, {Asked(kPhone, Signer("old"))}, "node1", 0, 1));
  QuestionCounts next = Asked(kPhone, Signer("new"));
  next.first_at = next.last_at = kNow + absl::Hours(24 * 8);
  RunByHand("DELETE FROM tvs_question");
  ASSERT_OK(CountAt(next.last_at, {next}, "node1", 0, 2));
  EXPECT_EQ(Count("SELECT count(*) FROM tvs_question_batch"), 1);
  EXPECT_EQ(Count("SELECT count(*) FROM tvs_question_signer WHERE subject = 'CN=old'"), 1);
  next.first_at = next.last_at = kNow + absl::Hours(24 * 8 + 1);
  ASSERT_OK(CountAt(next.last_at, {next}, "node1", 1, 2));
  EXPECT_EQ(Count("SELECT count(*) FROM tvs_question_signer WHERE subject = 'CN=old'"), 0);
  EXPECT_EQ(Count("SELECT count(*) FROM tvs_question_signer WHERE subject = 'CN=new'"), 1);
}

// By the hand that phone_upkeep has.
TEST_F(QuestionStoreTest, HasPartitionsByTheMonth) {
  EXPECT_EQ(Count("SELECT count(*) FROM pg_inherits WHERE inhparent = 'tvs_question'::regclass"), 4);
  ASSERT_OK(itld_->Execute("SELECT month_partitions_create('tvs_question')"));
  ASSERT_OK_AND_ASSIGN(const Result dropped,
                       itld_->Execute("SELECT month_partitions_drop('tvs_question', now() + interval '1 year')"));
  EXPECT_THAT(dropped.Value<int32_t>(), IsOkAndHolds(3));
}

}  // namespace
}  // namespace trustline
