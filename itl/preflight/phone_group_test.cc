#include "itl/preflight/phone_group.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "itl/preflight/preflight_testing.h"

namespace trustline {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

PhoneHoldings Holds(SharedList itl) { return {.ctl = nullptr, .itl = std::move(itl)}; }

SharedList Generation(const std::string& signer, const std::string& sast) {
  return Share(ItlOf(signer, {sast}, "cm", {}));
}

TEST(MayHoldTest, WithoutAPublicationItHoldsWhatItWasSeenToHold) {
  const SharedList seen = Generation("a", "a");
  EXPECT_THAT(MayHold(Holds(seen), {}, {}), ElementsAre(Holds(seen)));
  EXPECT_THAT(MayHold(Holds(seen), {nullptr}, {seen, nullptr}), ElementsAre(Holds(seen)));
  EXPECT_THAT(MayHold({}, {}, {}), ElementsAre(PhoneHoldings{}));
}

TEST(MayHoldTest, EachGenerationThatItCouldTakeOneAfterTheOther) {
  const SharedList a = Generation("a", "a"), b = Generation("a", "b"), c = Generation("b", "c"),
                   stranger = Generation("x", "x");
  EXPECT_THAT(MayHold(Holds(a), {}, {a, b, c, stranger}), ElementsAre(Holds(a), Holds(b), Holds(c)));
  EXPECT_THAT(MayHold(Holds(a), {}, {a, c}), ElementsAre(Holds(a))) << "without the one between";
}

TEST(MayHoldTest, ATvsThatItsItlNamesMayHaveToldItAnything) {
  const SharedList asks = Share(ItlOf("a", {"a"}, "cm", {"t1"})), stranger = Generation("x", "x");
  EXPECT_THAT(MayHold(Holds(asks), {}, {asks, stranger}), ElementsAre(Holds(asks), Holds(stranger)));
  PhoneList blanked = *asks;
  blanked.records.back() = {.role = CertificateRole::kTvs, .blank = true};
  EXPECT_THAT(MayHold(Holds(Share(blanked)), {}, {stranger}), ElementsAre(Holds(Share(blanked))))
      << "a blank record is nobody; but its TFTP record makes this no blank list";
}

TEST(MayHoldTest, CtlAndItlAreTakenByThemselves) {
  const SharedList a = Generation("a", "a"), b = Generation("a", "b");
  const SharedList ctl = Share(CtlOf("b", "z")), refused = Share(CtlOf("y", "y"));
  EXPECT_THAT(MayHold(Holds(a), {nullptr, ctl, refused}, {a, b}),
              UnorderedElementsAre(Holds(a), Holds(b), PhoneHoldings{ctl, b}))
      << "the CTL only with the ITL that knows its signer";
}

TEST(MayHoldTest, ANewPhoneMayHaveTakenAnything) {
  const SharedList a = Generation("a", "a"), ctl = Share(CtlOf("b", "b"));
  EXPECT_THAT(MayHold({}, {ctl}, {a}), UnorderedElementsAre(PhoneHoldings{}, Holds(a), PhoneHoldings{ctl, nullptr}));
}

TEST(MayHoldTest, ItMayReadMoreThanIsOnRecordButNotWhatNobodyReads) {
  const SharedList a = Generation("a", "a");
  PhoneList sha512 = *a, large = *a;
  sha512.digest = DigestAlgorithm::kSha512;
  large.size = 70'000;
  EXPECT_THAT(MayHold(Holds(a), {}, {a, Share(sha512), Share(large)}), ElementsAre(Holds(a), Holds(Share(sha512))));
}

TEST(MayHoldTest, EqualContentsAreOne) {
  const SharedList a = Generation("a", "a"), b = Generation("a", "b");
  EXPECT_THAT(MayHold(Holds(Share(*a)), {}, {a, b, Share(*b), Share(*a)}), ElementsAre(Holds(a), Holds(b)));
}

TEST(MayHoldTest, AHundredGenerationsWithAsManyCtlsAreAllThereOnce) {
  std::vector<SharedList> ctls, itls;
  for (int i = 0; i < 100; ++i) {
    ctls.push_back(Share(CtlOf("a", "ctl" + std::to_string(i))));
    PhoneList itl = ItlOf("a", {"a"}, "cm", {"t" + std::to_string(i)});
    itls.push_back(Share(itl));
  }
  EXPECT_EQ(MayHold(Holds(itls.front()), ctls, itls).size(), 101 * 100) << "and no CTL";
}

}  // namespace
}  // namespace trustline
