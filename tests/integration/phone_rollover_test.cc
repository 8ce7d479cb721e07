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
  EXPECT_EQ(harmless.exit_status, 3) << harmless.out << harmless.err;
  EXPECT_THAT(harmless.out, AllOf(HasSubstr("safe by list"), HasSubstr("presents it"), HasSubstr("plan rollover")));
  const ProgramResult unlisted = Trustctl({"trust", "set", tvs, "--unlisted"});
  EXPECT_EQ(unlisted.exit_status, 1) << unlisted.out << unlisted.err;
  EXPECT_THAT(unlisted.err, HasSubstr("phones would not reach that TVS any more"));
  EXPECT_EQ(Trustctl({"trust", "set", tvs, "--ttl", "1h"}).exit_status, 0) << "phones lose nothing by it";
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

TEST_F(PhoneRolloverTest, ACertificateThatTheListenerPresentsIsJudgedToo) {
  const std::string awake_name = "SEP000000002011", sleeper_name = "SEP000000002012";
  VirtualPhone awake = AddPhone(awake_name, {Tvs()});
  VirtualPhone sleeper = AddPhone(sleeper_name, {Tvs()});
  for (VirtualPhone* phone : {&awake, &sleeper}) ASSERT_TRUE(Start(*phone).in_step());
  ASSERT_NO_FATAL_FAILURE(AskAndBeSeen(awake_name));
  // The sleeper's list does not know the signer any more: its TVS has to tell it.
  ReplaceSigner("a change that one sleeps through");

  // The classic mistake: another certificate at the TVS, because the old one ends soon. Its listener answers phones of
  // two clusters.
  const std::string listener = std::to_string(system_->Port(2445)), file = Path("tvs-renewed.pem");
  Do({"listener", "renew", "--listener", listener, "--out", file});
  const int64_t before = Generation();
  Do({"trust", "add", "--listed", "--role", "TVS", file});
  Do({"--cluster", "b", "trust", "add", "--listed", "--role", "TVS", file});
  WaitForGeneration(before + 1);
  const ProgramResult planned = Trustctl({"listener", "import-cert", "--listener", listener, "--plan", file});
  EXPECT_EQ(planned.exit_status, 3) << planned.out << planned.err;
  EXPECT_THAT(planned.out, AllOf(HasSubstr("locked"), HasSubstr(sleeper_name)));
  const ProgramResult refused = Trustctl({"listener", "import-cert", "--listener", listener, file});
  EXPECT_EQ(refused.exit_status, 1);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("phones would be locked out"), HasSubstr(sleeper_name),
                                 HasSubstr("let it take the present list first")));

  // Both take the present list, by the certificate that their TVS still presents; then it may be another one.
  for (VirtualPhone* phone : {&awake, &sleeper}) EXPECT_TRUE(Start(*phone).in_step());
  Do({"listener", "import-cert", "--listener", listener, file});
  ReplaceSigner("both follow by the new certificate");
  for (VirtualPhone* phone : {&awake, &sleeper}) {
    const PhoneStartResult woken = Start(*phone);
    EXPECT_EQ(woken.itl.decision, (PhoneDecision{.by = AcceptedBy::kTvs}));
    EXPECT_TRUE(woken.in_step());
  }
  // Their lists name both, so that the way back is open.
  EXPECT_EQ(Trustctl({"listener", "restore", "--listener", listener, "--plan"}).exit_status, 0);
  Do({"listener", "restore", "--listener", listener});
}

}  // namespace
}  // namespace trustline
