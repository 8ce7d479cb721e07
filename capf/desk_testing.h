// What the tests of the desk share: desks on a real database, and responses of phones.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "capf/authentication_string.h"
#include "capf/database_desk.h"
#include "capf/enrolment_testing.h"
#include "capf/issuance_client.h"
#include "capf/settlement.h"
#include "common/rpc/identity_authority.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/test_identities.h"

namespace trustline {

inline constexpr char kPhoneAddress[] = "192.0.2.7";
inline constexpr char kOtherAddress[] = "192.0.2.8";

// The authentication response of a phone without a certificate.
inline CapfElements Response(std::string_view device, std::string_view password = "") {
  CapfElements response;
  response.reason = static_cast<uint8_t>(CapfReason::kSuccess);
  response.version = kCapfVersion;
  response.password = SecretBytes(password);
  response.device_name = device;
  return response;
}

// Under a key of this process.
inline const AuthenticationStrings& TestStrings() {
  static const std::unique_ptr<AuthenticationStrings> strings = [] {
    const TemporaryDirectory folder;
    EXPECT_OK(WritePrivateFile(folder.path() / "passphrase", "correct horse battery staple\n"));
    return *AuthenticationStrings::Open(folder.path() / "strings.key", folder.path() / "passphrase");
  }();
  return *strings;
}

// One capfd's desk and what it stands on.
class TestDesk {
 public:
  TestDesk(Pool& pool, const std::string& conninfo, const std::string& cad, const IdentityFiles& identity,
           const AuthenticationStrings& strings, EnrolmentRate& rate, const Clock& clock, std::string node = "node1",
           std::string cluster = "default")
      : cad_(*IssuanceClient::Create(cad, identity)),
        settlement_(pool, *cad_, clock, log_),
        audit_({.connection = conninfo, .application_name = "test"}, clock, log_, metrics_),
        desk_({.cluster = std::move(cluster), .node = std::move(node), .actor = kEnrolmentActor},
              {.pool = pool,
               .cad = *cad_,
               .strings = strings,
               .settlement = settlement_,
               .rate = rate,
               .audit = audit_,
               .clock = clock,
               .log = log_,
               .metrics = metrics_}) {}

  DatabaseDesk& operator*() { return desk_; }
  DatabaseDesk* operator->() { return &desk_; }
  Settlement& settlement() { return settlement_; }
  IssuanceClient& cad() { return *cad_; }
  Log& log() { return log_; }
  Metrics& metrics() { return metrics_; }

 private:
  Log log_{LogOptions{.sink = [](std::string_view) {}}};
  Metrics metrics_{"capfd"};
  const std::unique_ptr<IssuanceClient> cad_;
  Settlement settlement_;
  AuditQueue audit_;
  DatabaseDesk desk_;
};

// Its cad is away unless a test gives it one.
class DeskTest : public EnrolmentDatabaseTest {
 protected:
  void SetUp() override {
    EnrolmentDatabaseTest::SetUp();
    ASSERT_OK_AND_ASSIGN(identity_, Identity());
    desk_ = MakeDesk();
  }

  virtual absl::StatusOr<IdentityFiles> Identity() {
    ASSIGN_OR_RETURN(IdentityAuthority authority, IdentityAuthority::Create(absl::Now()));
    identities_ = std::make_unique<TestIdentities>(std::move(authority));
    return identities_->For(kEnrolmentActor);
  }
  virtual std::string CadAddress() const { return "127.0.0.1:1"; }

  std::unique_ptr<TestDesk> MakeDesk(std::string node = "node1", std::string cluster = "default") {
    return std::make_unique<TestDesk>(*pool_, database_->Conninfo("trustline_capfd"), CadAddress(), identity_, strings_,
                                      rate_, clock_, std::move(node), std::move(cluster));
  }

  // Schedules for the phone; its operation's id.
  int64_t ScheduleOne(const OperationOrder& order, std::string_view string = "") {
    OrderedDevice device = {.device = kEnrolmentPhone};
    if (order.authentication == EnrolmentAuthentication::kString) device.kept = strings_.Keep(SecretBytes(string));
    const auto results = Schedule(order, {device});
    EXPECT_OK(results);
    if (!results.ok()) return 0;
    EXPECT_EQ((*results)[0].refusal, "");
    return (*results)[0].operation_id;
  }
  int64_t ScheduleString(std::string_view string) {
    return ScheduleOne(Order(EnrolmentAuthentication::kString), string);
  }

  Admission Admit(const CapfElements& response, std::string_view address = kPhoneAddress) {
    const auto admission = (*desk_)->Admit(response, kSessionId, address);
    EXPECT_OK(admission);
    return admission.value_or(Admission());
  }
  Admission AdmitWith(std::string_view password, std::string_view address = kPhoneAddress) {
    return Admit(Response(kEnrolmentPhone, password), address);
  }
  // Of an operation that has just been scheduled without a proof.
  OperationClaim AdmittedClaim(CapfOperation operation = CapfOperation::kInstall) {
    ScheduleOne(Order(EnrolmentAuthentication::kNull, operation));
    Admission admission = AdmitWith("");
    EXPECT_EQ(admission.verdict, Admission::Verdict::kAdmitted) << admission.reason;
    return std::move(admission.claim);
  }

  std::string StateOf(int64_t operation_id) {
    return Text(fmt::format("SELECT state FROM capf_operation WHERE operation_id = {}", operation_id));
  }
  std::string ReasonOf(int64_t operation_id) {
    return Text(fmt::format("SELECT reason FROM capf_operation WHERE operation_id = {}", operation_id));
  }
  // Audit rows of the phone.
  int64_t Audited(std::string_view action, std::string_view outcome, std::string_view detail_part = "") {
    return Count(
        fmt::format("SELECT count(*) FROM audit_event WHERE subject = '{}' AND actor = '{}' AND action = '{}' "
                    "AND outcome = '{}' AND strpos(detail, '{}') > 0",
                    kEnrolmentPhone, kEnrolmentActor, action, outcome, detail_part));
  }
  // Until what another thread audits is there.
  void WaitForAudit(std::string_view action, std::string_view outcome, std::string_view detail_part) {
    const absl::Time end = absl::Now() + absl::Seconds(20);
    while (Audited(action, outcome, detail_part) == 0 && absl::Now() < end) absl::SleepFor(absl::Milliseconds(10));
    EXPECT_GE(Audited(action, outcome, detail_part), 1) << action << " " << detail_part;
  }

  static constexpr uint32_t kSessionId = 0x12345678;
  const AuthenticationStrings& strings_ = TestStrings();
  EnrolmentRate rate_{1'000, clock_.Now()};  // of all desks
  std::unique_ptr<TestIdentities> identities_;
  IdentityFiles identity_;
  std::unique_ptr<TestDesk> desk_;
};

}  // namespace trustline
