// What the pre-flight refuses, and the plan that does the same safely, with virtual phones of a real site.
#include "tests/integration/phone_life_site_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class PhoneRolloverTest : public PhoneLifeTest {
 protected:
  static ProgramResult Trustctl(const std::vector<std::string>& arguments) { return system_->Trustctl(arguments); }
  static std::string StateOfPlan(const std::string& number) { return Text(DoJson({"plan", "show", number}), "state"); }
  static std::string TvsFingerprint() {
    const boost::json::value listed = DoJson({"trust", "list", "--role", "TVS"});
    return Text(listed.as_array().front(), "sha256");
  }
};

TEST_F(PhoneRolloverTest, ThePlanDoesWhatTheOnlyTvsCertificateMustNotBeRemovedFor) {
  const std::vector<std::string> names = {"SEP000000002001", "SEP000000002002", "SEP000000002003"};
  VirtualPhone first = AddPhone(names[0], {Tvs()});
  VirtualPhone second = AddPhone(names[1], {Tvs()});
  VirtualPhone sleeper = AddPhone(names[2], {Tvs()});
  for (VirtualPhone* phone : {&first, &second, &sleeper}) ASSERT_TRUE(Start(*phone).in_step());
  ASSERT_NO_FATAL_FAILURE(AskAndBeSeen(names[0]));
  const std::string before = Held(sleeper);
  const std::string tvs = TvsFingerprint();

  // 1. By hand: the signer is being replaced, and the lists wait for an administrator.
  const ProgramResult harmless = Trustctl({"trust", "remove", tvs, "--plan"});
  EXPECT_EQ(harmless.exit_status, 0) << harmless.err;
  EXPECT_THAT(harmless.out, HasSubstr("safe by list"));
  Do({"itl", "recovery", "regenerate", "--yes", "--reason", "by hand"});
  WaitForCandidate("waits-for-approval");
  const ProgramResult refused = Trustctl({"trust", "remove", tvs, "--yes"});
  EXPECT_NE(refused.exit_status, 0);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("3 phones would be locked out"), HasSubstr(names[0]), HasSubstr(names[1]),
                                 HasSubstr(names[2]), HasSubstr("--override")));
  const ProgramResult planned = Trustctl({"trust", "remove", tvs, "--plan"});
  EXPECT_EQ(planned.exit_status, 3) << planned.out;
  EXPECT_THAT(planned.out, AllOf(HasSubstr("locked"), HasSubstr(names[2])));
  Do({"itl", "recovery", "restore", "--reason", "a plan does it"});
  WaitUntil(absl::Now() + absl::Seconds(20), [&] { return List().at("candidate").is_null(); });

  // 2. The plan, with two phones that start when they are told to, and one that sleeps.
  Do({"plan", "rollover", "--signer", "itlrecovery", "--without-resets", "--reason", "the same change"});
  const std::string number = std::to_string(DoJson({"plan", "show"}).at("plan").to_number<int64_t>());
  EXPECT_EQ(StateOfPlan(number), "made");
  Do({"plan", "run", number});
  const absl::Time deadline = absl::Now() + absl::Seconds(150);
  while (StateOfPlan(number) == "running" && absl::Now() < deadline) {
    for (VirtualPhone* phone : {&first, &second}) EXPECT_TRUE(Start(*phone).in_step());
  }
  ASSERT_EQ(StateOfPlan(number), "done") << Trustctl({"plan", "show", number}).out;
  EXPECT_EQ(Held(sleeper), before);
  // The lists of the last step came after its gate.
  for (VirtualPhone* phone : {&first, &second}) EXPECT_TRUE(Start(*phone).in_step());

  // 3. It wakes.
  const PhoneStartResult woken = Start(sleeper);
  EXPECT_EQ(woken.itl.decision, (PhoneDecision{.by = AcceptedBy::kTvs}));
  EXPECT_TRUE(woken.in_step());
  for (const std::string& name : names) EXPECT_EQ(StatusOf(name), "Match") << name;
}

}  // namespace
}  // namespace trustline
