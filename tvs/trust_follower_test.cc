#include "tvs/trust_follower.h"

#include <future>

#include "tests/support/status_matchers.h"
#include "tvs/trust_reader.h"
#include "tvs/trust_store_testing.h"
#include "tvs/verdict.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;

class TrustFollowerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(database_, ScratchDatabase::Create());
    store_ = std::make_unique<TestTrustStore>(*database_);
  }

  std::unique_ptr<TrustFollower> StartFollower(TrustFollowerOptions options = {}) {
    options.connection = database_->Conninfo("trustline_tvsd");
    options.application_name = "follower_test";
    if (options.clusters.empty()) options.clusters = {"default"};
    auto follower = std::make_unique<TrustFollower>(std::move(options), log_);
    follower->Start();
    return follower;
  }

  static absl::Status Confirm(TrustFollower& follower, std::string_view cluster = "default") {
    std::promise<absl::Status> promise;
    follower.Confirm(*follower.Find(cluster), [&](absl::Status status) { promise.set_value(std::move(status)); });
    return promise.get_future().get();
  }

  // Waits for what a thread of the follower brings about; a test that never sees it fails by its time limit.
  static void Await(const std::function<bool()>& condition) {
    while (!condition()) std::this_thread::yield();
  }

  static bool Valid(TrustFollower& follower, const Certificate& certificate) {
    return JudgeCertificate(*follower.Find("default")->Snapshot(), certificate.der(), kTestNow).valid;
  }

  Log log_{{.service = "test", .sink = [](auto) {}}};
  std::unique_ptr<ScratchDatabase> database_;
  std::unique_ptr<TestTrustStore> store_;
};

TEST_F(TrustFollowerTest, SeesEveryKindOfChange) {
  const auto follower = StartFollower();
  const Party root = MakeSelfSigned(AuthorityForm("Root"));
  const Party leaf = MakeIssued(LeafForm("leaf.example"), root);
  ASSERT_OK(store_->Put({.certificate = root.certificate, .role = 7, .anchor = true}));
  ASSERT_OK(Confirm(*follower));
  EXPECT_TRUE(Valid(*follower, leaf.certificate));

  const std::string crl = MakeTestCrl(root, {leaf.certificate}, kTestNow, kTestNow + absl::Hours(1));
  ASSERT_OK(store_->PutCrl(crl));
  ASSERT_OK(Confirm(*follower));
  EXPECT_FALSE(Valid(*follower, leaf.certificate));
  ASSERT_OK(store_->RemoveCrl(crl));
  ASSERT_OK(Confirm(*follower));
  EXPECT_TRUE(Valid(*follower, leaf.certificate));

  ASSERT_OK(store_->Put({.certificate = root.certificate, .role = 7, .anchor = true, .removed = true}));
  ASSERT_OK(Confirm(*follower));
  EXPECT_FALSE(Valid(*follower, leaf.certificate));
}

// With itld's part (CrlEditorTest) a revoked fleet is in force within a second and a half.
TEST_F(TrustFollowerTest, ACrlOfAHundredThousandEntriesIsReadQuickly) {
  const auto follower = StartFollower();
  const Party root = MakeSelfSigned(AuthorityForm("Root"));
  ASSERT_OK(store_->Put({.certificate = root.certificate, .role = 7, .anchor = true}));
  ASSERT_OK(Confirm(*follower));
  ASSERT_OK(store_->PutCrl(MakeLargeCrl(root, 100'000)));
  const auto begin = std::chrono::steady_clock::now();
  Await([&] { return !follower->Find("default")->Snapshot()->crls().empty(); });
  const auto taken = std::chrono::steady_clock::now() - begin;
  RecordProperty("milliseconds",
                 static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(taken).count()));
  EXPECT_EQ(follower->Find("default")->Snapshot()->crls()[0]->revoked.size(), 100'000u);
  EXPECT_LT(taken, std::chrono::seconds(5));
}

TEST_F(TrustFollowerTest, ANotificationBringsAChangeLongBeforeThePoll) {
  const auto follower = StartFollower({.poll_interval = std::chrono::hours(1)});
  ASSERT_OK(Confirm(*follower));
  const Party party = MakeSelfSigned(LeafForm("a.example"));
  // The listening connection may still be on its way: the first change can be missed, not a later one.
  int ttl = 100;
  Await([&] {
    EXPECT_OK(store_->Put({.certificate = party.certificate, .ttl_seconds = static_cast<uint32_t>(ttl++)}));
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(500);
    while (std::chrono::steady_clock::now() < deadline) {
      if (Valid(*follower, party.certificate)) return true;
      std::this_thread::yield();
    }
    return false;
  });
}

TEST_F(TrustFollowerTest, ThePollBringsAChangeWithoutANotification) {
  ASSERT_OK(store_->RunByHand("DROP TRIGGER cluster_trust_change ON cluster"));
  const auto follower = StartFollower({.poll_interval = std::chrono::milliseconds(20)});
  ASSERT_OK(Confirm(*follower));
  const Party party = MakeSelfSigned(LeafForm("a.example"));
  ASSERT_OK(store_->Put({.certificate = party.certificate}));
  Await([&] { return Valid(*follower, party.certificate); });
}

TEST_F(TrustFollowerTest, GoesOnAfterTheDatabaseWasKilledAndRestarted) {
  const auto follower = StartFollower();
  const Party before = MakeSelfSigned(LeafForm("before.example"));
  ASSERT_OK(store_->Put({.certificate = before.certificate}));
  ASSERT_OK(Confirm(*follower));
  ASSERT_OK(database_->Kill());
  EXPECT_FALSE(Confirm(*follower).ok());
  EXPECT_FALSE(follower->LastStatus().ok());
  EXPECT_TRUE(Valid(*follower, before.certificate));
  ASSERT_OK(database_->Restart());
  Await([&] { return Confirm(*follower).ok(); });
  const Party after = MakeSelfSigned(LeafForm("after.example"));
  ASSERT_OK(store_->Put({.certificate = after.certificate}));
  ASSERT_OK(Confirm(*follower));
  EXPECT_TRUE(Valid(*follower, after.certificate));
}

TEST_F(TrustFollowerTest, AFrozenDatabaseIsAnErrorWithinSecondsNotAHang) {
  const auto follower = StartFollower();
  ASSERT_OK(Confirm(*follower));
  ASSERT_OK(database_->Pause());
  EXPECT_FALSE(Confirm(*follower).ok());
  ASSERT_OK(database_->Resume());
  Await([&] { return Confirm(*follower).ok(); });
}

TEST_F(TrustFollowerTest, TheDigestFindsWhatWasChangedByHandAndReadsItAnew) {
  const Party party = MakeSelfSigned(LeafForm("a.example"));
  ASSERT_OK(store_->Put({.certificate = party.certificate}));
  const auto follower = StartFollower({.digest_interval = std::chrono::milliseconds(10)});
  ASSERT_OK(Confirm(*follower));
  EXPECT_TRUE(Valid(*follower, party.certificate));
  EXPECT_EQ(follower->Find("default")->digest_mismatches(), 0u);
  ASSERT_OK(store_->RunByHand("UPDATE trust_entry SET removed_at = now()"));
  Await([&] { return follower->Find("default")->digest_mismatches() > 0; });
  ASSERT_OK(Confirm(*follower));
  EXPECT_FALSE(Valid(*follower, party.certificate));
}

TEST_F(TrustFollowerTest, TheDatabasesDigestIsOursForEveryKindOfEntry) {
  const Party a = MakeSelfSigned(LeafForm("a.example"));
  const Party b = MakeSelfSigned(AuthorityForm("b"));
  ASSERT_OK(store_->Put({.certificate = a.certificate, .role = 21, .ttl_seconds = 2'592'000}));
  ASSERT_OK(store_->Put({.certificate = a.certificate, .role = 0, .removed = true}));
  ASSERT_OK(store_->Put({.certificate = b.certificate, .role = -1, .ttl_seconds = 1, .anchor = true}));
  ASSERT_OK(store_->PutCrl(MakeTestCrl(b, {a.certificate}, kTestNow, kTestNow + absl::Hours(1))));
  ASSERT_OK_AND_ASSIGN(Connection connection, database_->Connect("trustline_tvsd"));
  ASSERT_OK_AND_ASSIGN(const auto commits, ReadClusterCommits(connection));
  const int32_t cluster_id = commits.at("default").cluster_id;
  ASSERT_OK_AND_ASSIGN(const auto snapshot, ReadSnapshot(connection, cluster_id, nullptr));
  ASSERT_OK_AND_ASSIGN(const DatabaseDigest digest, ReadDigest(connection, cluster_id));
  EXPECT_EQ(digest.commit, 4);
  EXPECT_EQ(digest.digest.entries, 4);
  EXPECT_EQ(snapshot->ComputeDigest(), digest.digest);
}

TEST_F(TrustFollowerTest, AClusterThatDoesNotExistIsNamedAndFoundOnceItDoes) {
  const auto follower = StartFollower({.clusters = {"default", "west"}});
  EXPECT_THAT(Confirm(*follower, "west"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("trustctl cluster add west")));
  EXPECT_OK(Confirm(*follower)) << "its absence is not the other cluster's trouble";
  EXPECT_TRUE(follower->Find("default")->loaded());
  EXPECT_FALSE(follower->Find("west")->loaded());
  EXPECT_EQ(follower->Find("east"), nullptr);
  ASSERT_OK(store_->RunByHand("INSERT INTO cluster (name) VALUES ('west')"));
  ASSERT_OK(Confirm(*follower, "west"));
  EXPECT_TRUE(follower->Find("west")->loaded());
}

TEST_F(TrustFollowerTest, ClustersDoNotSeeEachOther) {
  ASSERT_OK(store_->RunByHand("INSERT INTO cluster (name) VALUES ('west')"));
  const Party party = MakeSelfSigned(LeafForm("a.example"));
  ASSERT_OK(TestTrustStore(*database_, "west").Put({.certificate = party.certificate}));
  const auto follower = StartFollower({.clusters = {"default", "west"}});
  ASSERT_OK(Confirm(*follower));
  EXPECT_FALSE(Valid(*follower, party.certificate));
  EXPECT_TRUE(JudgeCertificate(*follower->Find("west")->Snapshot(), party.certificate.der(), kTestNow).valid);
}

TEST_F(TrustFollowerTest, StopAnswersWhoeverWaits) {
  auto follower = StartFollower();
  ASSERT_OK(Confirm(*follower));
  ASSERT_OK(database_->Pause());
  std::promise<absl::Status> promise;
  follower->Confirm(*follower->Find("default"), [&](absl::Status status) { promise.set_value(std::move(status)); });
  follower->Stop();
  EXPECT_FALSE(promise.get_future().get().ok());
  EXPECT_FALSE(Confirm(*follower).ok());
  ASSERT_OK(database_->Resume());
}

}  // namespace
}  // namespace trustline
