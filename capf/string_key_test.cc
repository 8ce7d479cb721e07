// Two capfd of one database, with the same key of authentication strings and with keys of their own.
#include "capf/string_key.h"

#include "capf/desk_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Verdict = Admission::Verdict;

constexpr char kString[] = "04711";
constexpr char kOtherActor[] = "trustline:default/capfd/node2";

class StringKeyTest : public DeskTest {
 protected:
  void SetUp() override {
    DeskTest::SetUp();
    ASSERT_OK(WritePrivateFile(folder_.path() / "passphrase", "another passphrase\n"));
    ASSERT_OK_AND_ASSIGN(other_, AuthenticationStrings::Open(OtherFile(), folder_.path() / "passphrase"));
  }
  std::string OtherFile() const { return folder_.path() / "other.key"; }
  absl::StatusOr<int64_t> Take(const AuthenticationStrings& strings, std::string_view actor,
                               std::string_view lost = "") {
    return TakeStringKey(*pool_, strings, actor, lost, clock_.Now());
  }
  std::unique_ptr<TestDesk> OtherDesk() {
    return std::make_unique<TestDesk>(*pool_, database_->Conninfo("trustline_capfd"), CadAddress(), identity_, *other_,
                                      rate_, clock_, "node2");
  }
  absl::Status AdmitAtOther(const std::unique_ptr<TestDesk>& desk) {
    return (*desk)->Admit(Response(kEnrolmentPhone, kString), kSessionId, kOtherAddress).status();
  }
  int64_t WrongStrings() {
    return Count("SELECT sum(wrong_strings)::bigint + (SELECT count(*) FROM capf_lockout) FROM capf_operation");
  }

  const TemporaryDirectory folder_;
  std::unique_ptr<AuthenticationStrings> other_;
};

TEST_F(StringKeyTest, TheFirstKeyIsThatOfTheDatabase) {
  EXPECT_THAT(Take(strings_, kEnrolmentActor), IsOkAndHolds(0));
  EXPECT_THAT(Take(strings_, kOtherActor), IsOkAndHolds(0)) << "a second one with the same file";
  EXPECT_EQ(Text("SELECT set_by FROM capf_string_key"), kEnrolmentActor);
  EXPECT_EQ(Text("SELECT encode(check_value, 'hex') FROM capf_string_key"), ToHex(AsBytes(strings_.CheckValue())));
}

TEST_F(StringKeyTest, AnotherKeyIsRefusedWithWhatToDo) {
  ASSERT_OK(Take(strings_, kEnrolmentActor));
  const absl::Status refused = Take(*other_, kOtherActor).status();
  EXPECT_THAT(refused,
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr(OtherFile()), HasSubstr(kEnrolmentActor), HasSubstr("copy that capfd's file"),
                             HasSubstr(fmt::format("replace_string_key = \"{}\"", StringKeyFingerprint(strings_))))));
  EXPECT_TRUE(IsOtherStringKey(refused));
  // Only the key that is named is replaced.
  EXPECT_TRUE(IsOtherStringKey(Take(*other_, kOtherActor, StringKeyFingerprint(*other_)).status()));
  EXPECT_TRUE(IsOtherStringKey(Take(*other_, kOtherActor, "0123456789abcdef").status()));
  EXPECT_EQ(Text("SELECT set_by FROM capf_string_key"), kEnrolmentActor);
}

TEST_F(StringKeyTest, ADatabaseThatIsAwaySaysNothingOfKeys) {
  ASSERT_OK(Take(strings_, kEnrolmentActor));
  RunByHand("REVOKE SELECT ON capf_string_key FROM trustline_capfd");
  EXPECT_FALSE(IsOtherStringKey(Take(strings_, kEnrolmentActor).status()));
  ASSERT_OK(database_->Stop());
  EXPECT_THAT(Take(strings_, kEnrolmentActor), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(StringKeyTest, ByAnotherKeyNoStringIsWrong) {
  const int64_t id = ScheduleString(kString);
  ASSERT_OK(Take(strings_, kEnrolmentActor));
  const std::unique_ptr<TestDesk> other = OtherDesk();
  for (int i = 0; i < 6; ++i) EXPECT_TRUE(IsOtherStringKey(AdmitAtOther(other))) << i;
  EXPECT_EQ(WrongStrings(), 0);
  const Admission admission = AdmitWith(kString);
  EXPECT_EQ(admission.verdict, Verdict::kAdmitted) << admission.reason;
  // Nor is one that was used and whose phone was not told.
  RunByHand(
      fmt::format("UPDATE capf_operation SET state = 'success', ended_at = to_timestamp({}), session_claim = "
                  "NULL, string_used_at = now() WHERE operation_id = {}",
                  absl::ToUnixSeconds(clock_.Now()), id));
  EXPECT_TRUE(IsOtherStringKey(AdmitAtOther(other)));
  EXPECT_EQ(AdmitWith(kString).verdict, Verdict::kNothingScheduled);
}

TEST_F(StringKeyTest, WhoeverNeedsNoStringIsServedAllTheSame) {
  ASSERT_OK(Take(strings_, kEnrolmentActor));
  ScheduleOne(Order());
  const std::unique_ptr<TestDesk> other = OtherDesk();
  ASSERT_OK_AND_ASSIGN(const Admission admission,
                       (*other)->Admit(Response(kEnrolmentPhone), kSessionId, kOtherAddress));
  EXPECT_EQ(admission.verdict, Verdict::kAdmitted) << admission.reason;
}

// The database was away when it started: the first phone that brings a string settles it.
TEST_F(StringKeyTest, AKeyThatWasNotCheckedAtTheStartIsBeforeTheFirstString) {
  const int64_t id = ScheduleString(kString);
  EXPECT_EQ(AdmitWith(kString).verdict, Verdict::kAdmitted);
  EXPECT_EQ(Text("SELECT set_by FROM capf_string_key"), kEnrolmentActor);
  EXPECT_TRUE(IsOtherStringKey(Take(*other_, kOtherActor).status()));
  EXPECT_EQ(StateOf(id), "in progress");
}

TEST_F(StringKeyTest, ALostKeyIsReplacedWithWhatWaitsForIt) {
  ASSERT_OK(Take(strings_, kEnrolmentActor));
  const int64_t waiting = ScheduleString(kString);
  ASSERT_OK_AND_ASSIGN(const auto null, Schedule(Order(), {{.device = kOtherEnrolmentPhone}}));
  const std::string lost = StringKeyFingerprint(strings_);
  EXPECT_THAT(Take(*other_, kOtherActor, lost), IsOkAndHolds(1));
  EXPECT_EQ(StateOf(waiting), "failed");
  EXPECT_THAT(ReasonOf(waiting), HasSubstr("schedule it again"));
  EXPECT_EQ(StateOf(null[0].operation_id), "pending");
  EXPECT_EQ(
      Count(fmt::format(
          "SELECT count(*) FROM audit_event WHERE actor = '{}' AND action = 'capf.replace_string_key' AND outcome "
          "= 'done' AND detail::json->>'replaced' = '{}' AND detail::json->>'failed_operations' = '1' AND "
          "detail::json->>'brought_by' = '{}' AND cluster_id = 1",
          kOtherActor, lost, kEnrolmentActor)),
      1);
  // Once: what stays in the configuration does nothing more, there or where the lost key turns up again.
  EXPECT_THAT(Take(*other_, kOtherActor, lost), IsOkAndHolds(0));
  EXPECT_TRUE(IsOtherStringKey(Take(strings_, kEnrolmentActor, lost).status()));
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE action = 'capf.replace_string_key'"), 1);
}

// Else it would be shown a string that no capfd takes.
TEST_F(StringKeyTest, NobodyReplacesTheKeyOfWhoeverIsScheduling) {
  ASSERT_OK(Take(strings_, kEnrolmentActor));
  ASSERT_OK_AND_ASSIGN(Connection scheduling, database_->Connect("trustline_capfd"));
  ASSERT_OK_AND_ASSIGN(Transaction transaction, Transaction::Begin(scheduling));
  ASSERT_OK(CheckStringKey(scheduling, strings_, kEnrolmentActor, StringKeyUse::kKeep));
  PoolOptions options;
  options.connection.conninfo = database_->Conninfo("trustline_capfd") + " options='-c lock_timeout=100ms'";
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Pool> impatient, Pool::Create(options));
  const auto replace = [&] {
    return TakeStringKey(*impatient, *other_, kOtherActor, StringKeyFingerprint(strings_), clock_.Now()).status();
  };
  EXPECT_THAT(replace(), StatusIs(absl::StatusCode::kDeadlineExceeded));
  ASSERT_OK(transaction.Commit());
  EXPECT_OK(replace());
}

TEST_F(StringKeyTest, CapfdMayNotRemoveWhatItHasBrought) {
  ASSERT_OK(Take(strings_, kEnrolmentActor));
  ASSERT_OK_AND_ASSIGN(Connection capfd, database_->Connect("trustline_capfd"));
  EXPECT_THAT(capfd.Execute("DELETE FROM capf_string_key").status(), StatusIs(absl::StatusCode::kPermissionDenied));
}

}  // namespace
}  // namespace trustline
