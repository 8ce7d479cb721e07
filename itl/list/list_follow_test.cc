// The thread that follows the trust store, and several itld at once.
#include <atomic>

#include "itl/list/list_testing.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

// Counts how often it is asked.
class CountingClock final : public Clock {
 public:
  explicit CountingClock(const Clock& clock) : clock_(clock) {}
  absl::Time Now() const override {
    ++asked_;
    return clock_.Now();
  }
  int64_t asked() const { return asked_; }

 private:
  const Clock& clock_;
  mutable std::atomic<int64_t> asked_ = 0;
};

class ListFollowTest : public ListDatabaseTest {
 protected:
  void SetUp() override {
    ListDatabaseTest::SetUp();
    AddServer("tftp1");
    ASSERT_EQ(Outcome(), ListOutcome::kPublished);
  }
  void TearDown() override { follower_.reset(); }

  void Follow() {
    ListPublisherOptions options;
    options.interval = absl::Milliseconds(2);
    follower_ = NewPublisher(*pool_, *keys_, options, looks_);
    follower_->Start();
    // A change counts from the first look at it on.
    WaitForLooks();
  }
  // Until the thread has looked at what is there now and decided about it: a look reads the tables, then asks the clock
  // twice for each cluster. The first two looks that are counted may have begun before.
  void WaitForLooks() {
    const int64_t before = looks_.asked();
    ASSERT_TRUE(Becomes([&] { return looks_.asked() >= before + 8; }));
  }
  int64_t Compared() {
    return Count(
        "SELECT (p.considered_commit = c.trust_commit)::int::bigint FROM trust_list_policy p JOIN cluster c USING "
        "(cluster_id)");
  }
  size_t Logged(std::string_view id) {
    const std::lock_guard lock(mutex_);
    size_t count = 0;
    for (const std::string& line : lines_) count += line.find(id) == std::string::npos ? 0 : 1;
    return count;
  }
  size_t Asked() {
    const std::lock_guard lock(mutex_);
    return asked_.size();
  }

  const CountingClock looks_{now_};
  std::unique_ptr<ListPublisher> follower_;
};

TEST_F(ListFollowTest, ChangesBecomeOneGenerationAfterAQuietSecond) {
  Follow();
  now_.Advance(absl::Seconds(2));
  ASSERT_TRUE(Becomes([&] { return Compared() == 1; }));
  AddListed(MakePhoneFacing("tvs1"));
  WaitForLooks();
  now_.Advance(absl::Milliseconds(999));
  WaitForLooks();
  EXPECT_EQ(Generations(), 1);
  // Another change begins the second again.
  AddListed(MakePhoneFacing("tvs2"));
  WaitForLooks();
  now_.Advance(absl::Milliseconds(999));
  WaitForLooks();
  EXPECT_EQ(Generations(), 1);
  EXPECT_EQ(Compared(), 0);
  AddListed(MakePhoneFacing("tvs3"));
  WaitForLooks();
  now_.Advance(absl::Seconds(1));
  ASSERT_TRUE(Becomes([&] { return Generations() == 2; }));
  const StoredList list = List();
  EXPECT_EQ(list.current->records, 6);
  EXPECT_EQ(list.current->published_by, kTestActor);
  EXPECT_EQ(list.current->reason, fmt::format("change {} of the trust store", TrustCommit()));
  EXPECT_EQ(Compared(), 1);
  now_.Advance(absl::Hours(1));
  WaitForLooks();
  EXPECT_EQ(Generations(), 2);
}

TEST_F(ListFollowTest, NodesAreAskedAgainEveryTwoSeconds) {
  Follow();
  SetVouching(absl::FailedPreconditionError("node2 does not answer"));
  AddListed(MakePhoneFacing("tvs"));
  WaitForLooks();
  now_.Advance(absl::Seconds(1));
  ASSERT_TRUE(Becomes([&] { return Count("SELECT count(*) FROM trust_list_candidate WHERE state = 'nodes'") == 1; }));
  WaitForLooks();
  const size_t asked = Asked();
  now_.Advance(absl::Milliseconds(1999));
  WaitForLooks();
  EXPECT_EQ(Asked(), asked);
  now_.Advance(absl::Milliseconds(1));
  ASSERT_TRUE(Becomes([&] { return Asked() == asked + 1; }));
  EXPECT_EQ(
      metrics_.GetGauge("trustline_trust_list_candidates", "", {{"cluster", "default"}, {"state", "nodes"}}).value(),
      1);
  SetVouching(absl::OkStatus());
  WaitForLooks();
  now_.Advance(absl::Seconds(2));
  ASSERT_TRUE(Becomes([&] { return Generations() == 2; }));
  EXPECT_EQ(Count("SELECT count(*) FROM trust_list_candidate"), 0);
  EXPECT_TRUE(Becomes([&] {
    return metrics_.GetGauge("trustline_trust_list_candidates", "", {{"cluster", "default"}, {"state", "nodes"}})
               .value() == 0;
  }));
}

TEST_F(ListFollowTest, WhatIsRefusedIsToldOnceAndRemembered) {
  Follow();
  AddListed(MakePhoneFacing("third"), CertificateRole::kSast);
  WaitForLooks();
  now_.Advance(absl::Seconds(1));
  ASSERT_TRUE(Becomes([&] { return Count("SELECT count(*) FROM trust_list_candidate WHERE state = 'refused'") == 1; }));
  ASSERT_TRUE(Becomes([&] { return Compared() == 1; }));
  for (int i = 0; i < 3; ++i) {
    now_.Advance(absl::Seconds(10));
    WaitForLooks();
  }
  ASSERT_TRUE(Becomes([&] { return Logged("ITL_CANDIDATE_REFUSED") > 0; }));
  EXPECT_EQ(Logged("ITL_CANDIDATE_REFUSED"), 1u);
  EXPECT_EQ(Generations(), 1);
  now_.Advance(absl::Hours(1));
  EXPECT_TRUE(Becomes([&] { return Logged("ITL_CANDIDATES") == 1; }));
}

// Its reason may have gone without a change of the trust store.
TEST_F(ListFollowTest, WhatIsRefusedIsTriedAgainEachMinute) {
  const StoredSigner recovery = Signers().at(0);
  std::filesystem::rename(KeyPath(recovery), folder_.path() / "away");
  keys_ = NewKeys();
  Follow();
  AddListed(MakePhoneFacing("tvs"));
  WaitForLooks();
  now_.Advance(absl::Seconds(1));
  ASSERT_TRUE(Becomes([&] { return Count("SELECT count(*) FROM trust_list_candidate WHERE state = 'refused'") == 1; }));
  ASSERT_TRUE(Becomes([&] { return Compared() == 1; }));
  WaitForLooks();
  const size_t asked = Asked();
  now_.Advance(absl::Seconds(59));
  WaitForLooks();
  EXPECT_EQ(Asked(), asked);
  now_.Advance(absl::Seconds(1));
  ASSERT_TRUE(Becomes([&] { return Asked() == asked + 1; }));
  WaitForLooks();
  EXPECT_EQ(Logged("ITL_CANDIDATE_REFUSED"), 1u);
  std::filesystem::rename(folder_.path() / "away", KeyPath(recovery));
  now_.Advance(absl::Minutes(1));
  EXPECT_TRUE(Becomes([&] { return Generations() == 2; }));
}

TEST_F(ListFollowTest, AChangeOfThePolicyIsFollowedToo) {
  Follow();
  now_.Advance(absl::Seconds(2));
  ASSERT_TRUE(Becomes([&] { return Compared() == 1; }));
  ASSERT_OK(InStore([](Connection&, ListStore& store) -> absl::Status {
    ASSIGN_OR_RETURN(const auto stored, store.LockPolicy());
    ListPolicy policy = stored->policy;
    policy.name_form = NameForm::kVendor;
    RETURN_IF_ERROR(store.WritePolicy(policy, kTestActor));
    return store.MarkConsidered(-1);
  }));
  now_.Advance(absl::Seconds(2));
  ASSERT_TRUE(
      Becomes([&] { return Count("SELECT count(*) FROM trust_list_candidate WHERE state = 'approval'") == 1; }));
  EXPECT_THAT(List().candidate->changes, HasSubstr("name-form: comma -> vendor"));
}

TEST_F(ListFollowTest, BlankListsAreBroughtToMindEachHour) {
  RunByHand("UPDATE trust_list_policy SET blank = true, blank_since = now(), blank_by = 'x'");
  Follow();
  ASSERT_TRUE(Becomes([&] { return Logged("ITL_BLANK") == 1; }));
  now_.Advance(absl::Minutes(59));
  WaitForLooks();
  EXPECT_EQ(metrics_.GetGauge("trustline_trust_list_blank", "", {{"cluster", "default"}}).value(), 1);
  now_.Advance(absl::Minutes(1));
  EXPECT_TRUE(Becomes([&] { return Logged("ITL_BLANK") == 2; }));
}

TEST_F(ListFollowTest, WhoMadeTheChangeIsWhoPublished) {
  const Certificate tvs = MakePhoneFacing("tvs");
  ASSERT_OK(Import({tvs}, {.roles = {CertificateRole::kTvs}}));
  // Another one lists it than the one who added it.
  TrustChange change;
  change.listed = true;
  ASSERT_OK(RunInTransaction(*itld_, {}, [&](Connection& connection) {
    return TrustEditor(connection, {1, "default", "trustline:default/person/other"})
        .Set(PrefixOf(tvs.sha256()), change);
  }));
  Follow();
  WaitForLooks();
  now_.Advance(absl::Seconds(5));
  ASSERT_TRUE(Becomes([&] { return Generations() == 2; }));
  EXPECT_EQ(List().current->published_by, "trustline:default/person/other");
}

TEST_F(ListFollowTest, AFailureIsToldOnceAndItsEndToo) {
  Follow();
  WaitForLooks();
  RunByHand("REVOKE SELECT ON trust_list_candidate FROM trustline_itld");
  ASSERT_TRUE(Becomes([&] { return Logged("ITL_FOLLOW_FAILED") == 1; }));
  RunByHand("GRANT SELECT ON trust_list_candidate TO trustline_itld");
  ASSERT_TRUE(Becomes([&] { return Logged("ITL_FOLLOW_RECOVERED") == 1; }));
  EXPECT_EQ(Logged("ITL_FOLLOW_FAILED"), 1u);
  AddListed(MakePhoneFacing("tvs"));
  WaitForLooks();
  now_.Advance(absl::Seconds(5));
  EXPECT_TRUE(Becomes([&] { return Generations() == 2; }));
}

TEST_F(ListFollowTest, OneClustersFailureIsNotTheOthers) {
  // A cluster whose lists have no signer, as no itld leaves it.
  RunByHand("INSERT INTO cluster (cluster_id, name) OVERRIDING SYSTEM VALUE VALUES (0, 'other')");
  RunByHand(
      "INSERT INTO trust_list_policy (cluster_id, tftp_role, recovery_years, organization, organizational_unit) VALUES "
      "(0, 2, 20, 'O', 'OU')");
  AddListed(MakePhoneFacing("tvs"));
  Follow();
  WaitForLooks();
  now_.Advance(absl::Seconds(1));
  EXPECT_TRUE(Becomes([&] { return Generations() == 2; }));
  EXPECT_TRUE(Becomes([&] { return Logged("ITL_FOLLOW_FAILED") == 1; }));
  // The thread itself has not failed.
  WaitForLooks();
  EXPECT_EQ(Logged("ITL_FOLLOW_RECOVERED"), 0u);
}

TEST_F(ListFollowTest, OfTwoItldOnePublishesEachChange) {
  const std::unique_ptr<Pool> other_pool = NewPool();
  const std::unique_ptr<KeyFolder> other_keys = NewKeys();
  const std::unique_ptr<ListPublisher> other = NewPublisher(*other_pool, *other_keys);
  constexpr int kChanges = 20;
  for (int i = 1; i <= kChanges; ++i) {
    AddListed(MakePhoneFacing(fmt::format("tvs{}", i)));
    absl::StatusOr<PublishResult> results[2];
    std::thread first([&] { results[0] = publisher_->Publish(1, "default", Order()); });
    std::thread second([&] { results[1] = other->Publish(1, "default", Order()); });
    first.join();
    second.join();
    int published = 0;
    for (const absl::StatusOr<PublishResult>& result : results) {
      ASSERT_OK(result);
      ASSERT_THAT(result->lists, SizeIs(1));
      EXPECT_NE(result->lists[0].outcome, ListOutcome::kWaits);
      published += result->lists[0].outcome == ListOutcome::kPublished ? 1 : 0;
      // Both know what is published now.
      EXPECT_EQ(result->lists[0].list.current->number, i + 1);
    }
    EXPECT_EQ(published, 1);
    EXPECT_EQ(Generations(), i + 1);
  }
  EXPECT_EQ(List().current->records, 3 + kChanges);
  EXPECT_EQ(Count("SELECT count(DISTINCT sha1) FROM trust_list_generation"), kChanges + 1);
}

}  // namespace
}  // namespace trustline
