#include "itl/preflight/phone_cures.h"

#include <optional>

#include "gmock/gmock.h"
#include "itl/preflight/guarded_lists_testing.h"
#include "itl/preflight/world_reader.h"
#include "itl/question/tvs_reach_store.h"

namespace trustline {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

// A phone that holds the first list, and asks tvs1 for the key that has signed since.
class PhoneCuresTest : public GuardedListsTest {
 protected:
  void SetUp() override {
    GuardedListsTest::SetUp();
    cures_.emplace(memory_, keys_.get(), now_);
    AddServer("node1");
    AddNode("tvs1", tvs_);
    ASSERT_EQ(Outcome(), ListOutcome::kPublished);
    AddPhones(1, 1, "Berlin");
    SiteReaches("Berlin", "tvs1");
    now_.Advance(absl::Minutes(1));
    ReportHolding(1, 1, FileOf(List()));
    ASSERT_OK(ReplaceRecovery());
    PublishOrder order = Approved();
    ASSERT_OK(Publish(order).status());
  }
  void Tvs1Speaks() {
    ASSERT_OK(RunInTransaction(*itld_, {}, [&](Connection& connection) {
      TvsReachStore(connection, 1, now_.Now()).Presents("tvs1", {tvs_.sha256()});
      return absl::OkStatus();
    }));
  }
  PhoneCure Cure() {
    absl::StatusOr<std::map<std::string, PhoneCure>> cures =
        RunInTransaction(*itld_, {}, [&](Connection& connection) { return cures_->Of(connection, 1, {Device(1)}); });
    EXPECT_OK(cures.status());
    if (!cures.ok()) return PhoneCure::kUnknown;
    EXPECT_THAT(*cures, ElementsAre(Pair(Device(1), testing::_)));
    return (*cures)[Device(1)];
  }

  const Certificate tvs_ = MakePhoneFacing("tvs1");
  std::optional<PhoneCures> cures_;
};

TEST_F(PhoneCuresTest, ChangesWhenItsTvsGoesAwayAndComesBack) {
  Tvs1Speaks();
  EXPECT_EQ(Cure(), PhoneCure::kReset);
  now_.Advance(kNodeSilence + absl::Seconds(1));
  EXPECT_EQ(Cure(), PhoneCure::kRestoreReach) << "what was judged before is not believed";
  Tvs1Speaks();
  EXPECT_EQ(Cure(), PhoneCure::kReset);
}

TEST_F(PhoneCuresTest, IsOverOnceThePhoneHoldsWhatIsPublished) {
  EXPECT_EQ(Cure(), PhoneCure::kReset);
  now_.Advance(absl::Minutes(1));
  ReportHolding(1, 1, FileOf(List()));
  EXPECT_EQ(Cure(), PhoneCure::kNone);
}

}  // namespace
}  // namespace trustline
