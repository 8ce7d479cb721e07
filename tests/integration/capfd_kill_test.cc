// capfd or cad ended by SIGKILL at each message of a session: the phone's next try succeeds. Of an enrolment one
// certificate is in force, and one that the phone never acknowledged is revoked.
#include <csignal>
#include <thread>

#include "tests/integration/capfd_testing.h"

namespace trustline {
namespace {

constexpr char kPhone[] = "SEP001122334455";

enum class Killed { kCapfd, kCad };

struct Death {
  int message;  // after this one of the session; 1 is the authentication request
  Killed killed;
};

constexpr std::initializer_list<Killed> kBoth = {Killed::kCapfd, Killed::kCad};

std::vector<Death> EachDeath(int messages, std::initializer_list<Killed> processes) {
  std::vector<Death> deaths;
  for (int message = 1; message <= messages; ++message) {
    for (const Killed killed : processes) deaths.push_back({message, killed});
  }
  return deaths;
}

std::string NameOf(const ::testing::TestParamInfo<Death>& instance) {
  return fmt::format("{}AfterMessage{}", instance.param.killed == Killed::kCapfd ? "Capfd" : "Cad",
                     instance.param.message);
}

class CapfdKillTest : public CapfdTest {
 protected:
  void Kill(Killed killed) {
    if (killed == Killed::kCapfd) {
      capfd_->Kill();
    } else {
      cad_->Kill();
    }
  }
  void StartAgain(Killed killed) {
    if (killed == Killed::kCapfd) {
      StartCapfd();
    } else {
      StartCadAgain();
    }
  }
  // The process dies in the middle of a session, which then ends as it may. It comes back, and the phone tries again,
  // as phones do, until it has been told the end: how the last session ended.
  absl::StatusOr<CapfPhoneResult> DieAndTryAgain(const Death& death, CapfPhone& phone, bool& dies) {
    const absl::StatusOr<CapfPhoneResult> first = phone.Enrol();
    EXPECT_FALSE(dies) << "the session has fewer messages";
    StartAgain(death.killed);
    return first.ok() && first->ended_well() ? first : EnrolUntilTold(phone);
  }
  CapfPhoneOptions Dying(const Death& death, CapfPhoneOptions options, bool& dies) {
    options.goes_on = [this, death, &dies](const CapfPhoneMessage& message) {
      if (message.number == death.message && std::exchange(dies, false)) Kill(death.killed);
      return true;
    };
    return options;
  }
  // One certificate is in force: the one that the phone has, acknowledged.
  void ExpectOnlyInForce(const CapfPhone& phone) {
    ASSERT_FALSE(phone.lsc().empty());
    const Certificate lsc = *Certificate::FromDer(AsBytes(phone.lsc()));
    WaitForCount("SELECT count(*) FROM issuance WHERE state IN ('signed', 'delivered', 'confirmed')", 1,
                 absl::Seconds(30));
    WaitForCount(fmt::format("SELECT count(*) FROM issuance WHERE state = 'confirmed' AND sha256 = '\\x{}'",
                             ToHex(lsc.sha256())),
                 1, absl::Seconds(30));
    EXPECT_EQ(Count("SELECT count(*) FROM issuance WHERE certificate IS NOT NULL AND confirmed_at IS NULL AND state <> "
                    "'revoked'"),
              0);
    EXPECT_EQ(Count(kOpenIntents), 0);
  }
};

class CapfdKilledInstallTest : public CapfdKillTest, public ::testing::WithParamInterface<Death> {};

// authentication request 1, its response 2, key generate request 3, request in progress 4, key generate response 5,
// store certificate request 6, its response 7, end session 8.
INSTANTIATE_TEST_SUITE_P(Messages, CapfdKilledInstallTest, ::testing::ValuesIn(EachDeath(8, kBoth)), NameOf);

TEST_P(CapfdKilledInstallTest, ThePhonesNextTrySucceeds) {
  const std::string password = ScheduleByString(kPhone);
  bool dies = true;
  CapfPhoneOptions options = PhoneOptions(kPhone, password);
  options.progress_messages = 1;
  CapfPhone phone(Server(), Dying(GetParam(), options, dies));
  ASSERT_OK_AND_ASSIGN(const CapfPhoneResult last, DieAndTryAgain(GetParam(), phone, dies));
  EXPECT_TRUE(last.ended_well()) << static_cast<int>(last.end_reason.value_or(255));
  ExpectOnlyInForce(phone);
  EXPECT_EQ(Count("SELECT count(*) FROM capf_operation WHERE state = 'success'"), 1);

  // The string is used up. A capfd that died before it had on record that the phone was told says it once more.
  int end = EndOf(CapfPhone(Server(), PhoneOptions(kPhone, password)).Enrol());
  if (GetParam().killed == Killed::kCapfd && end == static_cast<int>(CapfReason::kNoAction)) {
    end = EndOf(CapfPhone(Server(), PhoneOptions(kPhone, password)).Enrol());
  }
  EXPECT_EQ(end, static_cast<int>(CapfReason::kInvalidElement));
}

// A phone that can make no EC key and is asked for an RSA key then.
class CapfdKilledBackupTest : public CapfdKillTest, public ::testing::WithParamInterface<Death> {};

// authentication request 1, its response 2, EC key generate request 3, its response 4, RSA key generate request 5, its
// response 6, store certificate request 7, its response 8, end session 9.
INSTANTIATE_TEST_SUITE_P(Messages, CapfdKilledBackupTest, ::testing::ValuesIn(EachDeath(9, {Killed::kCapfd})), NameOf);

TEST_P(CapfdKilledBackupTest, ThePhonesNextTrySucceeds) {
  auto order = Order(v1::CERTIFICATE_OPERATION_INSTALL, v1::ENROLMENT_AUTHENTICATION_STRING);
  order.mutable_key()->set_order(v1::KeySpecification::ORDER_EC_PREFERRED);
  ASSERT_OK_AND_ASSIGN(const auto scheduled, Schedule(order, kPhone));
  bool dies = true;
  CapfPhoneOptions options = PhoneOptions(kPhone, scheduled.authentication_string());
  options.fails_at_ec_keys = true;
  CapfPhone phone(Server(), Dying(GetParam(), options, dies));
  ASSERT_OK_AND_ASSIGN(const CapfPhoneResult last, DieAndTryAgain(GetParam(), phone, dies));
  EXPECT_TRUE(last.ended_well()) << static_cast<int>(last.end_reason.value_or(255));
  ExpectOnlyInForce(phone);
  EXPECT_EQ(Certificate::FromDer(AsBytes(phone.lsc()))->public_key_kind(), "RSA 2048");
}

// A phone that shows the certificate that it has, or deletes it.
class CapfdKilledWithCertificateTest : public CapfdKillTest, public ::testing::WithParamInterface<Death> {
 protected:
  void SetUp() override {
    CapfdKillTest::SetUp();
    CapfPhone phone(Server(), PhoneOptions(kPhone, ScheduleByString(kPhone)));
    ASSERT_EQ(EndOf(phone.Enrol()), static_cast<int>(CapfReason::kSuccess));
    lsc_ = phone.lsc();
    WaitForCount("SELECT count(*) FROM issuance WHERE state = 'confirmed'", 1, absl::Seconds(30));
  }
  CapfPhoneResult DieAtOrder(v1::CertificateOperation operation) {
    const auto scheduled = Schedule(Order(operation, v1::ENROLMENT_AUTHENTICATION_STRING), kPhone);
    EXPECT_OK(scheduled);
    bool dies = true;
    CapfPhoneOptions options = PhoneOptions(kPhone, scheduled.ok() ? scheduled->authentication_string() : "");
    options.certificates = {{.type = CapfCertificateType::kLsc, .der = lsc_}};
    CapfPhone phone(Server(), Dying(GetParam(), options, dies));
    const absl::StatusOr<CapfPhoneResult> last = DieAndTryAgain(GetParam(), phone, dies);
    EXPECT_OK(last);
    return last.value_or(CapfPhoneResult());
  }
  std::string lsc_;
};

// authentication request 1, its response 2, fetch or delete certificate request 3, its response 4, end session 5.
INSTANTIATE_TEST_SUITE_P(Messages, CapfdKilledWithCertificateTest, ::testing::ValuesIn(EachDeath(5, kBoth)), NameOf);

TEST_P(CapfdKilledWithCertificateTest, WhatThePhoneShowsIsStored) {
  EXPECT_TRUE(DieAtOrder(v1::CERTIFICATE_OPERATION_FETCH).ended_well());
  const v1::ShowEnrolmentResponse shown = Show(kPhone);
  ASSERT_EQ(shown.fetched_size(), 1);
  EXPECT_EQ(shown.fetched(0).der(), lsc_);
  EXPECT_EQ(shown.operations(0).state(), v1::OPERATION_STATE_SUCCESS);
  EXPECT_EQ(InForce(kPhone), 1);
}

TEST_P(CapfdKilledWithCertificateTest, WhatThePhoneDeletesIsRevoked) {
  EXPECT_TRUE(DieAtOrder(v1::CERTIFICATE_OPERATION_DELETE).ended_well());
  WaitForCount("SELECT count(*) FROM issuance WHERE state = 'revoked'", 1, absl::Seconds(30));
  EXPECT_EQ(InForce(kPhone), 0);
  EXPECT_EQ(Show(kPhone).operations(0).state(), v1::OPERATION_STATE_SUCCESS);
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
