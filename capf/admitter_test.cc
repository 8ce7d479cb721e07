// Who is admitted, by the desk on a real database.
#include "capf/admitter.h"

#include <atomic>
#include <thread>

#include "capf/desk_testing.h"
#include "capf/string_lockout.h"

namespace trustline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Verdict = Admission::Verdict;

constexpr char kString[] = "04711";

class AdmitterTest : public DeskTest {
 protected:
  void ExpectAdmitted(const Admission& admission, int64_t operation_id) {
    EXPECT_EQ(admission.verdict, Verdict::kAdmitted) << admission.reason;
    EXPECT_EQ(admission.reason, "");
    EXPECT_EQ(admission.claim.operation_id, operation_id);
    EXPECT_EQ(admission.claim.device, kEnrolmentPhone);
    EXPECT_EQ(admission.claim.claim.size(), 16U);
  }
  void ExpectNot(const Admission& admission, Verdict verdict, std::string_view reason_part) {
    EXPECT_EQ(admission.verdict, verdict);
    EXPECT_THAT(admission.reason, HasSubstr(reason_part));
    EXPECT_EQ(admission.claim.operation_id, 0);
    EXPECT_EQ(admission.claim.claim, "");
  }
};

TEST_F(AdmitterTest, DevicesThatAreNotInServiceAreUnknown) {
  RunByHand(
      "INSERT INTO device (cluster_id, name, state, added_by) VALUES (1, 'SEP0000000000A1', 'retired', 'test'); "
      "INSERT INTO cluster (name) VALUES ('other'); "
      "INSERT INTO device (cluster_id, name, added_by) SELECT cluster_id, 'SEP0000000000A2', 'test' FROM cluster WHERE "
      "name = 'other'");
  for (const char* device : {"SEP0000000000A1", "SEP0000000000A2", "SEP0000000000A3", "not a name", ""}) {
    EXPECT_EQ(Admit(Response(device)).verdict, Verdict::kUnknownDevice) << device;
  }
  CapfElements nameless = Response("");
  nameless.device_name.reset();
  EXPECT_EQ(Admit(nameless).verdict, Verdict::kUnknownDevice);
  desk_ = MakeDesk("node1", "other");
  EXPECT_EQ(Admit(Response("SEP0000000000A2")).verdict, Verdict::kNothingScheduled);
}

TEST_F(AdmitterTest, ADeskOfNoClusterSaysSo) {
  desk_ = MakeDesk("node1", "nowhere");
  EXPECT_THAT((*desk_)->CheckCluster(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("trustctl cluster add nowhere")));
  EXPECT_THAT((*desk_)->Admit(Response(kEnrolmentPhone), kSessionId, kPhoneAddress),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(AdmitterTest, NothingScheduledIsNoRefusalWhateverStringIsSent) {
  ExpectNot(AdmitWith(""), Verdict::kNothingScheduled, "nothing is scheduled");
  ExpectNot(AdmitWith("1234"), Verdict::kNothingScheduled, "nothing is scheduled");
  // Without a string there is none that could have been used up.
  ScheduleOne(Order());
  RunByHand("UPDATE capf_operation SET state = 'success', ended_at = now()");
  ExpectNot(AdmitWith("1234"), Verdict::kNothingScheduled, "nothing is scheduled");
}

TEST_F(AdmitterTest, AUsedStringIsRefused) {
  ScheduleString(kString);
  RunByHand("UPDATE capf_operation SET state = 'success', ended_at = now(), string_used_at = now(), end_told = true");
  for (const char* password : {kString, "1234"}) ExpectNot(AdmitWith(password), Verdict::kRefused, "used up");
  WaitForAudit("capf.authenticate", "denied", "used up");
  ExpectNot(AdmitWith(""), Verdict::kNothingScheduled, "nothing is scheduled");
  // A new one is another matter.
  const int64_t id = ScheduleString("5555");
  ExpectNot(AdmitWith(kString), Verdict::kRefused, "wrong");
  ExpectAdmitted(AdmitWith("5555"), id);
}

TEST_F(AdmitterTest, WhoWasNotToldOfItsSuccessIsToldOnce) {
  const int64_t id = ScheduleString(kString);
  RunByHand(
      fmt::format("UPDATE capf_operation SET state = 'success', ended_at = to_timestamp({}), string_used_at = now()",
                  absl::ToUnixSeconds(clock_.Now())));
  ExpectNot(AdmitWith("1234"), Verdict::kRefused, "used up");
  ExpectNot(AdmitWith(kString), Verdict::kNothingScheduled, "before it was told");
  ExpectNot(AdmitWith(kString), Verdict::kRefused, "used up");
  ASSERT_OK((*desk_)->RecordTold(*pool_));
  EXPECT_EQ(Count(fmt::format("SELECT count(*) FROM capf_operation WHERE operation_id = {} AND end_told", id)), 1);
  ExpectNot(AdmitWith(kString), Verdict::kRefused, "used up");
  // One that comes much later is not believed.
  RunByHand("UPDATE capf_operation SET end_told = false");
  clock_.Advance(kUntoldPatience);
  ExpectNot(AdmitWith(kString), Verdict::kRefused, "used up");
}

TEST_F(AdmitterTest, WithoutAProofWhoeverComesIsAdmitted) {
  OperationOrder order = Order();
  order.keys = {.order = KeyOrder::kEcPreferred, .rsa_bits = 2048, .curve = CapfCurve::kSecp384r1};
  const int64_t id = ScheduleOne(order);
  const Admission admission = Admit(Response("sep001122334455"));
  ExpectAdmitted(admission, id);
  EXPECT_EQ(admission.claim.operation, CapfOperation::kInstall);
  EXPECT_EQ(admission.claim.keys, KeyRequests(order.keys));
  EXPECT_EQ(StateOf(id), "in progress");
  EXPECT_EQ(
      Count(fmt::format("SELECT count(*) FROM capf_operation WHERE session_node = 'node1' AND session_address = "
                        "'{}' AND started_at = to_timestamp({}) AND session_until = to_timestamp({}) "
                        "AND session_claim = decode('{}', 'hex')",
                        kPhoneAddress, absl::ToUnixSeconds(clock_.Now()),
                        absl::ToUnixSeconds(clock_.Now() + kSessionLease), ToHex(AsBytes(admission.claim.claim)))),
      1);
}

TEST_F(AdmitterTest, OnlyAnInstallationAsksForKeys) {
  AddCertificate(kEnrolmentPhone);
  for (const CapfOperation operation : {CapfOperation::kFetch, CapfOperation::kDelete}) {
    const int64_t id = ScheduleOne(Order(EnrolmentAuthentication::kNull, operation));
    const Admission admission = AdmitWith("");
    ExpectAdmitted(admission, id);
    EXPECT_EQ(admission.claim.operation, operation);
    EXPECT_THAT(admission.claim.keys, ElementsAre());
    ASSERT_OK((*desk_)->Release(admission.claim));
  }
}

TEST_F(AdmitterTest, AWrongStringIsCountedAndAudited) {
  const int64_t id = ScheduleString(kString);
  ExpectNot(AdmitWith("04712"), Verdict::kRefused, "its authentication string is wrong");
  EXPECT_EQ(Count("SELECT wrong_strings FROM capf_operation"), 1);
  EXPECT_EQ(Count(fmt::format("SELECT wrong_strings FROM capf_lockout WHERE device = '{}' AND address = '{}' "
                              "AND locked_until IS NULL",
                              kEnrolmentPhone, kPhoneAddress)),
            1);
  EXPECT_EQ(Audited("capf.authenticate", "denied", "the authentication string is wrong"), 1);
  EXPECT_EQ(Audited("capf.authenticate", "denied", "04712"), 0) << "what was typed is nobody's business";
  EXPECT_EQ(StateOf(id), "pending");
  ExpectAdmitted(AdmitWith(kString), id);
}

TEST_F(AdmitterTest, NoStringAtAllIsNoGuess) {
  ScheduleString(kString);
  ExpectNot(AdmitWith(""), Verdict::kRefused, "no authentication string");
  CapfElements without = Response(kEnrolmentPhone);
  without.password.reset();
  ExpectNot(Admit(without), Verdict::kRefused, "no authentication string");
  EXPECT_EQ(Count("SELECT wrong_strings FROM capf_operation"), 0);
  EXPECT_EQ(Count("SELECT count(*) FROM capf_lockout"), 0);
}

TEST_F(AdmitterTest, FiveWrongStringsLockThePairForAQuarterOfAnHour) {
  const int64_t id = ScheduleString(kString);
  for (int i = 1; i <= kMostWrongStringsOfPair; ++i) {
    EXPECT_EQ(Audited("capf.authenticate", "denied", "is locked at this address"), 0) << i;
    ExpectNot(AdmitWith("0"), Verdict::kRefused, "wrong");
    clock_.Advance(absl::Seconds(1));
  }
  EXPECT_EQ(Audited("capf.authenticate", "denied", "is locked at this address for 15m after 5 wrong"), 1);
  // Nothing is compared any more, from there.
  clock_.Advance(kLockTime - absl::Seconds(2));
  ExpectNot(AdmitWith(kString), Verdict::kRefused, "locked");
  ExpectNot(AdmitWith("0"), Verdict::kRefused, "locked");
  EXPECT_EQ(Count("SELECT wrong_strings FROM capf_operation"), kMostWrongStringsOfPair);
  const Admission elsewhere = AdmitWith(kString, kOtherAddress);
  ExpectAdmitted(elsewhere, id);
  ASSERT_OK((*desk_)->Release(elsewhere.claim));
  // The lock is over, and so are the wrong strings before it.
  clock_.Advance(absl::Seconds(1));
  ExpectNot(AdmitWith("0"), Verdict::kRefused, "wrong");
  EXPECT_EQ(Count(fmt::format("SELECT wrong_strings FROM capf_lockout WHERE address = '{}'", kPhoneAddress)), 1);
  ExpectAdmitted(AdmitWith(kString), id);
}

TEST_F(AdmitterTest, OldWrongStringsAreForgotten) {
  const int64_t id = ScheduleString(kString);
  for (int i = 1; i < kMostWrongStringsOfPair; ++i) AdmitWith("0");
  clock_.Advance(kLockTime);
  for (int i = 1; i < kMostWrongStringsOfPair; ++i) ExpectNot(AdmitWith("0"), Verdict::kRefused, "wrong");
  EXPECT_EQ(Count("SELECT count(*) FROM capf_lockout WHERE locked_until IS NOT NULL"), 0);
  ExpectAdmitted(AdmitWith(kString), id);
}

TEST_F(AdmitterTest, TwentyWrongStringsEndTheOperation) {
  const int64_t id = ScheduleString(kString);
  int wrong = 0;
  for (int address = 1; wrong < kMostWrongStringsOfOperation; ++address) {
    for (int i = 0; i < kMostWrongStringsOfPair; ++i) {
      EXPECT_EQ(StateOf(id), "pending") << wrong;
      ExpectNot(AdmitWith("0", fmt::format("192.0.2.{}", address)), Verdict::kRefused, "wrong");
      ++wrong;
    }
  }
  EXPECT_EQ(StateOf(id), "failed");
  EXPECT_THAT(ReasonOf(id), HasSubstr("its authentication string expired after 20 wrong tries"));
  EXPECT_EQ(Audited("capf.authenticate", "denied", "the authentication string is wrong"), 20);
  EXPECT_EQ(Audited("capf.authenticate", "denied", "locked at this address"), 4);
  EXPECT_EQ(Audited("capf.authenticate", "denied", "expired after 20 wrong tries"), 1);
  ExpectNot(AdmitWith(kString, "192.0.2.200"), Verdict::kRefused, "has expired");
}

TEST_F(AdmitterTest, WrongStringsEndAlsoAnOperationThatASessionHasClaimed) {
  ScheduleString(kString);
  const Admission admission = AdmitWith(kString);
  for (int wrong = 0; wrong < kMostWrongStringsOfOperation; ++wrong) {
    ExpectNot(AdmitWith("0", fmt::format("192.0.2.{}", 100 + wrong / 5)), Verdict::kRefused, "wrong");
  }
  EXPECT_THAT((*desk_)->Fail(admission.claim, "no"), StatusIs(absl::StatusCode::kAborted));
}

TEST_F(AdmitterTest, AnOperationPastItsDeadlineIsOver) {
  const int64_t null = ScheduleOne(Order());
  clock_.Advance(absl::Hours(240));
  ExpectNot(AdmitWith(""), Verdict::kNothingScheduled, "nothing is scheduled");
  EXPECT_EQ(StateOf(null), "expired");
  EXPECT_THAT(ReasonOf(null), HasSubstr("deadline"));
  EXPECT_EQ(Audited("capf.expire", "done"), 1);

  const int64_t string = ScheduleString(kString);
  clock_.Advance(absl::Hours(240));
  ExpectNot(AdmitWith(kString), Verdict::kRefused, "has expired");
  EXPECT_EQ(StateOf(string), "expired");
}

TEST_F(AdmitterTest, ASessionThatBeganInTimeMayEndLater) {
  OperationOrder order = Order();
  order.deadline = clock_.Now() + absl::Seconds(1);
  const int64_t id = ScheduleOne(order);
  AdmitWith("");
  clock_.Advance(absl::Seconds(2));
  ExpectNot(AdmitWith(""), Verdict::kBusy, kPhoneAddress);
  EXPECT_EQ(StateOf(id), "in progress");
}

TEST_F(AdmitterTest, OneSessionADevice) {
  const int64_t id = ScheduleString(kString);
  const Admission first = AdmitWith(kString);
  ExpectAdmitted(first, id);
  ExpectNot(AdmitWith(kString), Verdict::kBusy, kPhoneAddress);
  ExpectNot(AdmitWith(kString, kOtherAddress), Verdict::kBusy, kPhoneAddress);
  ExpectNot(AdmitWith("1"), Verdict::kRefused, "wrong");  // the proof comes first
  clock_.Advance(kSessionPrecedence);
  ExpectNot(AdmitWith(kString), Verdict::kBusy, kPhoneAddress);

  // The phone has begun anew; somebody elsewhere has not.
  clock_.Advance(absl::Seconds(1));
  ExpectNot(AdmitWith(kString, kOtherAddress), Verdict::kBusy, kPhoneAddress);
  const Admission second = AdmitWith(kString);
  ExpectAdmitted(second, id);
  EXPECT_NE(second.claim.claim, first.claim.claim);
  EXPECT_THAT((*desk_)->Acknowledge(first.claim), StatusIs(absl::StatusCode::kAborted, HasSubstr("taken over")));
  EXPECT_THAT((*desk_)->Fail(first.claim, "no"), StatusIs(absl::StatusCode::kAborted));
  EXPECT_OK((*desk_)->Release(first.claim));
  EXPECT_EQ(StateOf(id), "in progress");

  // One whose lease is over stands in nobody's way.
  clock_.Advance(kSessionLease);
  ExpectAdmitted(AdmitWith(kString, kOtherAddress), id);
}

TEST_F(AdmitterTest, OfAHundredSimultaneousUsesOfAStringOneIsAdmitted) {
  ScheduleString(kString);
  const std::unique_ptr<TestDesk> other = MakeDesk("node2");
  std::atomic<int> admitted = 0, busy = 0;
  std::atomic<bool> go = false;
  std::vector<std::thread> phones;
  for (int i = 0; i < 100; ++i) {
    phones.emplace_back([&, i] {
      while (!go) std::this_thread::yield();
      DatabaseDesk& desk = i % 2 == 0 ? **desk_ : **other;
      const auto admission = desk.Admit(Response(kEnrolmentPhone, kString), i, fmt::format("192.0.2.{}", i));
      ASSERT_OK(admission);
      admitted += admission->verdict == Verdict::kAdmitted ? 1 : 0;
      busy += admission->verdict == Verdict::kBusy ? 1 : 0;
    });
  }
  go = true;
  for (std::thread& phone : phones) phone.join();
  EXPECT_EQ(admitted, 1);
  EXPECT_EQ(busy, 99);
}

TEST_F(AdmitterTest, WhoeverWaitsForAnOperationIsBusyAfterSeconds) {
  const int64_t id = ScheduleOne(Order());
  ASSERT_OK_AND_ASSIGN(Connection other, database_->Connect("trustline_capfd"));
  std::optional<Transaction> changing = *Transaction::Begin(other);
  ASSERT_OK(OperationStore(other, 1).LockNewest(kEnrolmentPhone));
  ExpectNot(AdmitWith(""), Verdict::kBusy, "somebody else");
  ASSERT_OK(changing->Rollback());
  ExpectAdmitted(AdmitWith(""), id);
}

TEST_F(AdmitterTest, ADatabaseThatIsAwayDecidesNothing) {
  ScheduleOne(Order());
  ASSERT_OK(database_->Stop());
  EXPECT_THAT((*desk_)->Admit(Response(kEnrolmentPhone), kSessionId, kPhoneAddress),
              StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace trustline
