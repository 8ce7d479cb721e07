// capfd or cad ended by SIGKILL at each message of an enrolment: the phone's next try succeeds, one certificate is in
// force, and one that the phone never acknowledged is revoked.
#include <csignal>
#include <thread>

#include "tests/integration/capfd_testing.h"

namespace trustline {
namespace {

constexpr char kPhone[] = "SEP001122334455";

enum class Killed { kCapfd, kCad };

struct Death {
  int message;  // after this message of the session; 1 is the authentication request
  Killed killed;
};

// authentication request 1, its response 2, key generate request 3, request in progress 4, key generate response 5,
// store certificate request 6, its response 7, end session 8.
constexpr int kMessages = 8;

std::vector<Death> EachDeath() {
  std::vector<Death> deaths;
  for (int message = 1; message <= kMessages; ++message) {
    for (const Killed killed : {Killed::kCapfd, Killed::kCad}) deaths.push_back({message, killed});
  }
  return deaths;
}

std::string NameOf(const ::testing::TestParamInfo<Death>& instance) {
  return fmt::format("{}AfterMessage{}", instance.param.killed == Killed::kCapfd ? "Capfd" : "Cad",
                     instance.param.message);
}

class CapfdKillTest : public CapfdTest, public ::testing::WithParamInterface<Death> {
 protected:
  void Kill() {
    if (GetParam().killed == Killed::kCapfd) {
      capfd_->Kill();
    } else {
      cad_->Kill();
    }
  }
  void StartAgain() {
    if (GetParam().killed == Killed::kCapfd) {
      StartCapfd();
    } else {
      StartCadAgain();
    }
  }
};

INSTANTIATE_TEST_SUITE_P(Messages, CapfdKillTest, ::testing::ValuesIn(EachDeath()), NameOf);

TEST_P(CapfdKillTest, ThePhonesNextTrySucceeds) {
  const std::string password = ScheduleByString(kPhone);

  // 1. The process dies in the middle of the session, which then ends as it may.
  bool was_killed = false;
  CapfPhoneOptions options = PhoneOptions(kPhone, password);
  options.progress_messages = 1;
  options.goes_on = [&](const CapfPhoneMessage& message) {
    if (message.number == GetParam().message && !std::exchange(was_killed, true)) Kill();
    return true;
  };
  CapfPhone phone(Server(), options);
  const absl::StatusOr<CapfPhoneResult> first = phone.Enrol();
  ASSERT_TRUE(was_killed);

  // 2. It comes back, and the phone tries again, as phones do, until it has been told the end.
  StartAgain();
  if (!first.ok() || !first->ended_well()) {
    const absl::StatusOr<CapfPhoneResult> again = EnrolUntilTold(phone);
    ASSERT_OK(again);
    EXPECT_TRUE(again->ended_well()) << static_cast<int>(again->end_reason.value_or(255));
  }

  // 3. One certificate is in force: the one that the phone has, acknowledged.
  ASSERT_FALSE(phone.lsc().empty());
  const Certificate lsc = *Certificate::FromDer(AsBytes(phone.lsc()));
  const std::string in_force = "SELECT count(*) FROM issuance WHERE state IN ('signed', 'delivered', 'confirmed')";
  WaitForCount(in_force, 1, absl::Seconds(30));
  WaitForCount(
      fmt::format("SELECT count(*) FROM issuance WHERE state = 'confirmed' AND sha256 = '\\x{}'", ToHex(lsc.sha256())),
      1, absl::Seconds(30));
  EXPECT_EQ(Count("SELECT count(*) FROM issuance WHERE certificate IS NOT NULL AND confirmed_at IS NULL AND state <> "
                  "'revoked'"),
            0);
  EXPECT_EQ(Count(kOpenIntents), 0);
  EXPECT_EQ(Count("SELECT count(*) FROM capf_operation WHERE state = 'success'"), 1);

  // 4. The string is used up. A capfd that died before it had on record that the phone was told says it once more.
  int end = EndOf(CapfPhone(Server(), PhoneOptions(kPhone, password)).Enrol());
  if (GetParam().killed == Killed::kCapfd && end == static_cast<int>(CapfReason::kNoAction)) {
    end = EndOf(CapfPhone(Server(), PhoneOptions(kPhone, password)).Enrol());
  }
  EXPECT_EQ(end, static_cast<int>(CapfReason::kInvalidElement));
}

// Between the record of the acknowledgement and the end of the session: capfd waits for a cad that stands still.
class CapfdUntoldTest : public CapfdTest {};

TEST_F(CapfdUntoldTest, APhoneThatWasNotToldComesAgainAndIsTold) {
  const std::string password = ScheduleByString(kPhone);
  CapfPhoneOptions options = PhoneOptions(kPhone, password);
  options.goes_on = [&](const CapfPhoneMessage& message) {
    if (message.command != CapfCommand::kStoreCertificateRequest) return true;
    kill(cad_->pid(), SIGSTOP);
    return true;
  };
  std::thread killer([&] {
    WaitForCount("SELECT count(*) FROM capf_operation WHERE state = 'success'", 1, absl::Seconds(30));
    capfd_->Kill();
    kill(cad_->pid(), SIGCONT);
  });
  CapfPhone phone(Server(), options);
  EXPECT_THAT(phone.Enrol(), StatusIs(absl::StatusCode::kUnavailable));
  killer.join();
  ASSERT_FALSE(phone.lsc().empty());

  StartCapfd();
  CapfPhone again(Server(), PhoneOptions(kPhone, password));
  EXPECT_EQ(EndOf(again.Enrol()), static_cast<int>(CapfReason::kNoAction));
  EXPECT_EQ(EndOf(CapfPhone(Server(), PhoneOptions(kPhone, "1" + password)).Enrol()),
            static_cast<int>(CapfReason::kInvalidElement));
  WaitForCount("SELECT count(*) FROM issuance WHERE state = 'confirmed'", 1, absl::Seconds(30));

  // One that was told is refused from then on, also by the next process.
  const std::string second = ScheduleByString(kPhone);
  EXPECT_EQ(EndOf(CapfPhone(Server(), PhoneOptions(kPhone, second)).Enrol()), static_cast<int>(CapfReason::kSuccess));
  EXPECT_EQ(EndOf(CapfPhone(Server(), PhoneOptions(kPhone, second)).Enrol()),
            static_cast<int>(CapfReason::kInvalidElement));
  ASSERT_OK(capfd_->Stop());
  StartCapfd();
  EXPECT_EQ(EndOf(CapfPhone(Server(), PhoneOptions(kPhone, second)).Enrol()),
            static_cast<int>(CapfReason::kInvalidElement));
}

}  // namespace
}  // namespace trustline
