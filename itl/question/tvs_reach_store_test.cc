#include "itl/question/tvs_reach_store.h"

#include "common/bytes/bytes.h"
#include "common/postgres/transaction.h"
#include "itl/itl_testing.h"
#include "itl/question/question_store.h"

namespace trustline {
namespace {

constexpr char kBerlin1[] = "SEP000000000001";  // 192.0.2.1
constexpr char kBerlin2[] = "SEP000000000002";  // ::ffff:192.0.2.2, as a call manager may write it
constexpr char kBerlin3[] = "SEP000000000003";  // of which no address is known
constexpr char kHome[] = "SEP000000000004";     // 2001:DB8:0:0::4, without a site
constexpr char kRetired[] = "SEP000000000005";  // 192.0.2.5
constexpr char kNobody[] = "SEP0000000000FF";   // no device
const absl::Time kNow = absl::FromCivil(absl::CivilSecond(2026, 11, 27, 15, 30, 0), absl::UTCTimeZone());

class TvsReachTest : public ItlDatabaseTest {
 protected:
  void SetUp() override {
    ItlDatabaseTest::SetUp();
    RunByHand(
        "INSERT INTO device (cluster_id, name, model, site, added_by) SELECT 1, 'SEP00000000000' || n, '8841', "
        "CASE WHEN n = 4 THEN '' ELSE 'Berlin' END, 'test' FROM generate_series(1, 5) AS n");
    RunByHand(
        "UPDATE phone SET address = CASE device WHEN 'SEP000000000001' THEN '192.0.2.1' WHEN 'SEP000000000002' THEN "
        "'::ffff:192.0.2.2' WHEN 'SEP000000000004' THEN '2001:DB8:0:0::4' WHEN 'SEP000000000005' THEN '192.0.2.5' "
        "ELSE '' END");
    RunByHand(
        "UPDATE device SET state = 'retired', state_reason = 'gone' WHERE name = "
        "'SEP000000000005'");
  }

  static QuestionCounts Asked(const char* device, const char* address, absl::Time at = kNow - absl::Minutes(1)) {
    return {.device = device,
            .signer = {.is_query = true, .subject = "CN=a", .issuer = "CN=b", .serial = "\x01"},
            .valid = true,
            .count = 1,
            .first_at = at,
            .last_at = at,
            .address = address};
  }
  static Sha256Digest Digest(char name) {
    Sha256Digest digest;
    digest.fill(static_cast<uint8_t>(name));
    return digest;
  }
  absl::StatusOr<bool> Send(const QuestionBatch& batch, absl::Time now = kNow) {
    return RunInTransaction(*itld_, {},
                            [&](Connection& connection) { return QuestionStore(connection, 1, now).Count(batch); });
  }
  // A batch with the next number.
  void CountThem(std::vector<QuestionCounts> counts, const std::string& node = "node1", absl::Time now = kNow) {
    EXPECT_THAT(Send({.node = node, .process = 7, .number = next_++, .counts = std::move(counts)}, now),
                IsOkAndHolds(true));
  }
  void Say(const std::string& certificates, const std::string& node = "node1", absl::Time now = kNow) {
    QuestionBatch batch = {.node = node, .process = 7, .number = next_++};
    for (const char name : certificates) batch.presented.push_back(Digest(name));
    EXPECT_THAT(Send(batch, now), IsOkAndHolds(true));
  }
  // "Berlin node1 15:29", sorted.
  std::string Reach() {
    return Text(
        "SELECT coalesce(string_agg(site || device || ' ' || node || to_char(last_at AT TIME ZONE 'UTC', ' HH24:MI'), "
        "', ' ORDER BY site, device, node), '') FROM tvs_reach");
  }
  // "node1 a, node1 b", each certificate by its first byte.
  std::string Presented() {
    return Text(
        "SELECT coalesce(string_agg(node || ' ' || chr(get_byte(sha256, 0)), ', ' ORDER BY node, sha256), '') FROM "
        "tvs_node_certificate");
  }

  int64_t next_ = 0;
};

TEST_F(TvsReachTest, APhoneThatAsksFromItsAddressShowsTheWayOfItsSite) {
  CountThem({Asked(kBerlin1, "192.0.2.1")});
  EXPECT_EQ(Reach(), "Berlin node1 15:29");
  CountThem({Asked(kBerlin2, "192.0.2.2"), Asked(kHome, "2001:db8::4")}, "node2");
  EXPECT_EQ(Reach(), "SEP000000000004 node2 15:29, Berlin node1 15:29, Berlin node2 15:29");
}

// Anybody may ask under any name.
TEST_F(TvsReachTest, QuestionsFromAnotherAddressMakeNoWay) {
  CountThem({Asked(kBerlin1, "198.51.100.7"), Asked(kBerlin1, "192.0.2.2"), Asked(kBerlin2, "192.0.2.1"),
             Asked(kBerlin3, ""), Asked(kBerlin3, "192.0.2.3"), Asked(kHome, "2001:db8::5"), Asked(kHome, "192.0.2.1"),
             Asked(kRetired, "192.0.2.5"), Asked(kNobody, "192.0.2.1"), Asked("", "192.0.2.1")});
  EXPECT_EQ(Count("SELECT sum(count)::bigint FROM tvs_question"), 10);
  EXPECT_EQ(Reach(), "");
}

// In the same batch, before and after it.
TEST_F(TvsReachTest, QuestionsFromAnotherAddressUnmakeNoWay) {
  CountThem({Asked(kBerlin1, "198.51.100.7"), Asked(kBerlin1, "192.0.2.1", kNow - absl::Minutes(9)),
             Asked(kBerlin1, "203.0.113.7", kNow), Asked(kBerlin2, "198.51.100.7", kNow)});
  EXPECT_EQ(Reach(), "Berlin node1 15:21");
  CountThem({Asked(kBerlin1, "198.51.100.7", kNow + absl::Hours(3))}, "node1", kNow + absl::Hours(3));
  EXPECT_EQ(Reach(), "Berlin node1 15:21");
}

TEST_F(TvsReachTest, TimesOnlyGrowAndNeverIntoTheFuture) {
  CountThem({Asked(kBerlin1, "192.0.2.1", kNow + absl::Hours(24 * 365 + 3))});
  EXPECT_EQ(Reach(), "Berlin node1 15:30");
  CountThem({Asked(kBerlin1, "192.0.2.1", kNow - absl::Hours(30)), Asked(kBerlin2, "192.0.2.2", absl::InfinitePast())});
  EXPECT_EQ(Reach(), "Berlin node1 15:30");
  // Of another node whose clock has stopped long ago: that is no sign of today.
  CountThem({Asked(kBerlin1, "192.0.2.1", absl::UnixEpoch()), Asked(kBerlin2, "192.0.2.2", absl::InfinitePast())},
            "node2");
  EXPECT_EQ(Reach(), "Berlin node1 15:30");
}

TEST_F(TvsReachTest, ARowIsWrittenOnceAnHour) {
  CountThem({Asked(kBerlin1, "192.0.2.1", kNow)});
  const std::string row = Text("SELECT xmin::text || ctid::text FROM tvs_reach");
  for (const int minutes : {1, 20, 59}) {
    const absl::Time now = kNow + absl::Minutes(minutes);
    CountThem({Asked(kBerlin1, "192.0.2.1", now), Asked(kBerlin2, "192.0.2.2", now)}, "node1", now);
  }
  EXPECT_EQ(Text("SELECT xmin::text || ctid::text FROM tvs_reach"), row);
  const absl::Time later = kNow + absl::Minutes(61);
  CountThem({Asked(kBerlin2, "192.0.2.2", later)}, "node1", later);
  EXPECT_EQ(Reach(), "Berlin node1 16:31");
}

TEST_F(TvsReachTest, ABatchThatIsSentAgainChangesNothing) {
  const QuestionBatch batch = {
      .node = "node1", .process = 7, .counts = {Asked(kBerlin1, "192.0.2.1")}, .presented = {Digest('a')}};
  EXPECT_THAT(Send(batch), IsOkAndHolds(true));
  EXPECT_EQ(Reach(), "Berlin node1 15:29");
  EXPECT_EQ(Presented(), "node1 a");
  next_ = 1;
  Say("b");
  RunByHand("DELETE FROM tvs_reach");
  EXPECT_THAT(Send(batch), IsOkAndHolds(false));
  EXPECT_EQ(Reach(), "");
  EXPECT_EQ(Presented(), "node1 b");
}

TEST_F(TvsReachTest, WhatANodeSaidLastIsWhatItPresents) {
  Say("ab");
  Say("a", "node2");
  EXPECT_EQ(Presented(), "node1 a, node1 b, node2 a");
  Say("bc");
  EXPECT_EQ(Presented(), "node1 b, node1 c, node2 a");
  // An older tvsd says nothing of it.
  CountThem({Asked(kBerlin1, "192.0.2.1")});
  EXPECT_EQ(Presented(), "node1 b, node1 c, node2 a");
  // A batch without counts is no question of anybody.
  EXPECT_EQ(Count("SELECT count(*) FROM tvs_question"), 1);
  const auto said_at = [&] {
    return Text("SELECT to_char(min(said_at) AT TIME ZONE 'UTC', 'HH24:MI') FROM tvs_node_certificate");
  };
  Say("a", "node2", kNow + absl::Minutes(3));
  Say("bc", "node1", kNow + absl::Minutes(3));
  EXPECT_EQ(said_at(), "15:30");
  Say("a", "node2", kNow + absl::Minutes(5));
  Say("bc", "node1", kNow + absl::Minutes(5));
  EXPECT_EQ(said_at(), "15:35");
}

TEST_F(TvsReachTest, WhatIsOldIsForgotten) {
  CountThem({Asked(kBerlin1, "192.0.2.1")});
  Say("a");
  const absl::Time before = kNow + absl::Hours(24 * 60) - absl::Minutes(2);
  CountThem({Asked(kNobody, "192.0.2.9", before)}, "node2", before);
  EXPECT_EQ(Reach(), "Berlin node1 15:29");
  const absl::Time after = before + absl::Hours(1);
  CountThem({Asked(kNobody, "192.0.2.9", after)}, "node2", after);
  EXPECT_EQ(Reach(), "");
  EXPECT_EQ(Presented(), "");
}

}  // namespace
}  // namespace trustline
