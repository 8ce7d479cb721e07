// The desk with the real cad, itld and PostgreSQL.
#include <grpcpp/client_context.h>

#include <functional>
#include <thread>

#include "capf/database_desk.h"
#include "capf/desk_testing.h"
#include "capf/enrolment_sweeper.h"
#include "capf/proof_testing.h"
#include "common/rpc/channel.h"
#include "common/x509/public_key.h"
#include "tests/support/cad_process.h"

namespace trustline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Verdict = Admission::Verdict;

std::string PublicKeyOf(EVP_PKEY* key) { return PublicKeyInfo::Of(key)->der(); }

constexpr char kInForce[] =
    "SELECT count(*) FROM issuance WHERE state IN ('signed', 'delivered', 'confirmed') AND not_after > now()";

class DeskWithCadTest : public DeskTest {
 protected:
  void SetUp() override {
    DeskTest::SetUp();
    ASSERT_NE(cad_, nullptr);
    ASSERT_OK(site_->MakeAuthority(*cad_, true));
  }
  // What was issued is whole, whatever a test did.
  void TearDown() override {
    if (HasFatalFailure()) return;
    if (!cad_->Running()) {
      ASSERT_NO_FATAL_FAILURE(StartCadAgain());
    }
    EXPECT_THAT(AuditFindings(), IsEmpty());
  }

  absl::StatusOr<IdentityFiles> Identity() override {
    ASSIGN_OR_RETURN(site_, CadSite::Create(*database_));
    ASSIGN_OR_RETURN(cad_, site_->StartCad());
    RETURN_IF_ERROR(cad_->WaitUntilReady());
    return site_->IdentityFor(kEnrolmentActor);
  }
  std::string CadAddress() const override { return fmt::format("127.0.0.1:{}", cad_->grpc_port()); }

  // At another address, so that capfd starts again too.
  void StartCadAgain() {
    cad_.reset();
    ASSERT_OK_AND_ASSIGN(cad_, site_->StartCad());
    ASSERT_OK(cad_->WaitUntilReady());
    StartDeskAgain();
  }
  void StartDeskAgain() {
    desk_.reset();
    clock_.Advance(absl::Seconds(1));
    desk_ = MakeDesk();
  }
  EnrolmentSweep Sweep() {
    EnrolmentSweeper sweeper({.node = "node1", .actor = kEnrolmentActor}, *pool_, desk_->settlement(), clock_,
                             desk_->log(), desk_->metrics());
    const auto sweep = sweeper.Sweep();
    EXPECT_OK(sweep);
    return sweep.value_or(EnrolmentSweep());
  }

  // A phone's whole session without a proof; its key.
  EvpPkeyPtr Enrol() {
    EvpPkeyPtr key = MakeEcKey("P-256");
    const OperationClaim claim = AdmittedClaim();
    EXPECT_OK((*desk_)->Issue(claim, PublicKeyOf(key.get())));
    EXPECT_OK((*desk_)->Acknowledge(claim));
    return key;
  }
  // What `trustctl ca audit` would print.
  std::vector<std::string> AuditFindings() {
    const auto channel = site_->Channel(*cad_);
    EXPECT_OK(channel);
    grpc::ClientContext context;
    const auto stub = v1::Issuance::NewStub(*channel);
    const auto stream = stub->AuditCertificates(&context, v1::AuditCertificatesRequest());
    std::vector<std::string> findings;
    for (v1::AuditCertificatesResponse response; stream->Read(&response);) {
      findings.insert(findings.end(), response.findings().begin(), response.findings().end());
    }
    EXPECT_OK(ToAbsl(stream->Finish()));
    return findings;
  }

  std::unique_ptr<CadSite> site_;
  std::unique_ptr<DaemonProcess> cad_;
};

TEST_F(DeskWithCadTest, EnrolsAPhoneThatHasItsString) {
  const int64_t id = ScheduleString("04711");
  const Admission admission = AdmitWith("04711");
  ASSERT_EQ(admission.verdict, Verdict::kAdmitted) << admission.reason;

  // The same key gets the same certificate, as often as it is asked.
  const EvpPkeyPtr first_key = MakeEcKey("P-256");
  ASSERT_OK_AND_ASSIGN(const std::string first, (*desk_)->Issue(admission.claim, PublicKeyOf(first_key.get())));
  ASSERT_OK_AND_ASSIGN(const std::string again, (*desk_)->Issue(admission.claim, PublicKeyOf(first_key.get())));
  EXPECT_EQ(again, first);
  // Another key, as of a phone that has failed with the first, another one.
  const EvpPkeyPtr key = MakeRsaKey(2048);
  ASSERT_OK_AND_ASSIGN(const std::string der, (*desk_)->Issue(admission.claim, PublicKeyOf(key.get())));
  ASSERT_OK_AND_ASSIGN(const Certificate certificate, Certificate::FromDer(AsBytes(der)));
  EXPECT_EQ(certificate.subject().common_name(), kEnrolmentPhone);
  EXPECT_EQ(certificate.public_key_sha256(), Sha256(AsBytes(PublicKeyOf(key.get()))));

  ASSERT_OK((*desk_)->Acknowledge(admission.claim));
  EXPECT_EQ(StateOf(id), "success");
  EXPECT_EQ(Count(fmt::format("SELECT count(*) FROM capf_operation o JOIN issuance i USING (cluster_id, issuance_id) "
                              "WHERE i.state = 'confirmed' AND i.sha256 = '\\x{}' AND o.unsettled IS NULL AND "
                              "o.string_used_at IS NOT NULL",
                              ToHex(certificate.sha256()))),
            1);
  EXPECT_EQ(Count(kInForce), 1) << "what was never acknowledged is revoked";
  (*desk_)->Told(admission.claim);
  EXPECT_EQ(AdmitWith("04711").verdict, Verdict::kRefused);
  EXPECT_EQ(AdmitWith("").verdict, Verdict::kNothingScheduled);
}

TEST_F(DeskWithCadTest, AKeyThatIsRefusedFailsTheOperation) {
  Enrol();
  const auto refuse = [&](const std::string& public_key, const std::string& reason) {
    const OperationClaim claim = AdmittedClaim();
    EXPECT_THAT((*desk_)->Issue(claim, public_key), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(reason)));
    EXPECT_EQ(StateOf(claim.operation_id), "failed");
    EXPECT_THAT(ReasonOf(claim.operation_id), HasSubstr(reason));
    EXPECT_THAT((*desk_)->Acknowledge(claim), StatusIs(absl::StatusCode::kAborted));
  };
  refuse(PublicKeyOf(MakeRsaKey(1024).get()), "1024");
  refuse("not a key", "");
  // One that another phone has already.
  const EvpPkeyPtr key = MakeEcKey("P-384");
  ASSERT_OK(desk_->cad().IssueForKey("default", kOtherEnrolmentPhone, PublicKeyOf(key.get()), "test"));
  refuse(PublicKeyOf(key.get()), "two devices never share one");
  EXPECT_EQ(Audited("capf.install", "failed"), 3);
}

TEST_F(DeskWithCadTest, TheOperationOfADeviceThatIsRetiredMeanwhileEndsWithIt) {
  const OperationClaim claim = AdmittedClaim();
  RunByHand("UPDATE device SET state = 'retired', state_reason = 'broken'");
  EXPECT_THAT((*desk_)->Issue(claim, PublicKeyOf(MakeEcKey("P-256").get())),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("retired")));
  EXPECT_EQ(StateOf(claim.operation_id), "cancelled");
  EXPECT_EQ(ReasonOf(claim.operation_id), "the device was retired");
}

TEST_F(DeskWithCadTest, WhatAnAdministratorPutsRightFailsNoOperation) {
  const OperationClaim claim = AdmittedClaim();
  RunByHand("UPDATE ca_authority SET state = 'tainted'");
  const std::string key = PublicKeyOf(MakeEcKey("P-256").get());
  EXPECT_THAT((*desk_)->Issue(claim, key), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("rollover")));
  EXPECT_EQ(StateOf(claim.operation_id), "in progress");
  RunByHand("UPDATE ca_authority SET state = 'active'");
  EXPECT_OK((*desk_)->Issue(claim, key));
}

TEST_F(DeskWithCadTest, WithoutCadAnAcknowledgementIsSettledLater) {
  const OperationClaim claim = AdmittedClaim();
  ASSERT_OK((*desk_)->Issue(claim, PublicKeyOf(MakeEcKey("P-256").get())));
  cad_->Kill();
  ASSERT_OK((*desk_)->Acknowledge(claim));
  EXPECT_EQ(StateOf(claim.operation_id), "success");
  EXPECT_EQ(Count("SELECT count(*) FROM issuance WHERE state = 'confirmed'"), 0);
  clock_.Advance(absl::Seconds(10));
  EXPECT_EQ(Sweep().settled, 0);

  StartCadAgain();
  EXPECT_EQ(Sweep().settled, 1);
  EXPECT_EQ(Count("SELECT count(*) FROM issuance WHERE state = 'confirmed'"), 1);
  EXPECT_EQ(Count("SELECT count(*) FROM capf_operation WHERE unsettled IS NOT NULL"), 0);
  EXPECT_EQ(Sweep().settled, 0);
}

TEST_F(DeskWithCadTest, ManyAcknowledgementsAtOnceAreAllSettled) {
  constexpr int kPhones = 24;
  std::vector<OrderedDevice> devices;
  std::vector<OperationClaim> claims;
  for (int i = 0; i < kPhones; ++i) devices.push_back({.device = fmt::format("SEP0000000000{:02X}", i)});
  const auto enrol_all = [&](const std::function<void()>& before_acknowledging) {
    ASSERT_OK(Schedule(Order(), devices));
    claims.clear();
    for (const OrderedDevice& device : devices) {
      Admission admission = Admit(Response(device.device, ""));
      ASSERT_EQ(admission.verdict, Verdict::kAdmitted) << admission.reason;
      ASSERT_OK((*desk_)->Issue(admission.claim, PublicKeyOf(MakeEcKey("P-256").get())));
      claims.push_back(std::move(admission.claim));
    }
    before_acknowledging();
    std::vector<std::thread> phones;
    for (const OperationClaim& claim : claims) {
      phones.emplace_back([&] { EXPECT_OK((*desk_)->Acknowledge(claim)); });
    }
    for (std::thread& phone : phones) phone.join();
  };
  for (const OrderedDevice& device : devices) {
    RunByHand(fmt::format("INSERT INTO device (cluster_id, name, added_by) VALUES (1, '{}', 'test')", device.device));
  }
  constexpr char kUnsettled[] = "SELECT count(*) FROM capf_operation WHERE unsettled IS NOT NULL";
  constexpr char kConfirmed[] = "SELECT count(*) FROM issuance WHERE state = 'confirmed'";

  // One of them for a certificate that is not in force any more.
  enrol_all([&] {
    ASSERT_OK(desk_->cad().Revoke(
        "default",
        Text(fmt::format("SELECT encode(serial, 'hex') FROM issuance WHERE device = '{}'", claims[7].device))));
  });
  EXPECT_EQ(Count(kUnsettled), 0);
  EXPECT_EQ(Count(kConfirmed), kPhones - 1);
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE action = 'lsc.confirm' AND outcome = 'done'"), kPhones - 1);
  EXPECT_EQ(StateOf(claims[7].operation_id), "failed");
  EXPECT_THAT(ReasonOf(claims[7].operation_id), HasSubstr("not in force any more"));
  EXPECT_EQ(Count("SELECT count(*) FROM capf_operation WHERE state = 'success'"), kPhones - 1);

  // All of them while cad is away.
  enrol_all([&] { cad_->Kill(); });
  EXPECT_EQ(Count(kUnsettled), kPhones);
  EXPECT_EQ(Count(kConfirmed), kPhones - 1);
  StartCadAgain();
  clock_.Advance(absl::Seconds(10));
  EXPECT_EQ(Sweep().settled, kPhones);
  EXPECT_EQ(Count(kUnsettled), 0);
  EXPECT_EQ(Count(kConfirmed), 2 * kPhones - 1);
}

// Devices of two clusters may have the same name, and are confirmed in calls of their own.
TEST_F(DeskWithCadTest, AcknowledgementsOfTwoClustersAtOnceAreAllSettled) {
  constexpr int kPhones = 8;
  constexpr std::string_view kClusters[] = {"default", "branch"};
  RunByHand(
      "INSERT INTO cluster (name) VALUES ('branch'); INSERT INTO access_grant (cluster_id, person, role, granted_by) "
      "SELECT cluster_id, 'admin', 'administrator', 'test' FROM cluster WHERE name = 'branch'");
  absl::StatusOr<int32_t> authority = absl::UnknownError("not asked yet");
  // Until cad and itld have been told of the right.
  for (const absl::Time end = absl::Now() + absl::Seconds(30); !authority.ok() && absl::Now() < end;) {
    authority = site_->MakeAuthority(*cad_, true, "branch");
  }
  ASSERT_OK(authority);

  // 1. What phones of both have acknowledged, and cad has not been told.
  for (const std::string_view cluster : kClusters) {
    const int64_t id = Count(fmt::format("SELECT cluster_id FROM cluster WHERE name = '{}'", cluster));
    desk_ = MakeDesk("node1", std::string(cluster));
    for (int i = 0; i < kPhones; ++i) {
      const std::string device = fmt::format("SEP0000000000{:02X}", i);
      RunByHand(fmt::format("INSERT INTO device (cluster_id, name, added_by) VALUES ({}, '{}', 'test')", id, device));
      ASSERT_OK(RunInTransaction(*pool_, {}, [&](Connection& connection) {
        return OperationStore(connection, static_cast<int32_t>(id)).Schedule(Order(), {{device, {}}}, clock_.Now());
      }));
      const Admission admission = Admit(Response(device, ""));
      ASSERT_EQ(admission.verdict, Verdict::kAdmitted) << admission.reason;
      ASSERT_OK((*desk_)->Issue(admission.claim, PublicKeyOf(MakeEcKey("P-256").get())));
    }
  }
  std::vector<UnsettledOperation> acknowledged;
  ASSERT_OK_AND_ASSIGN(const Result rows,
                       superuser_->Execute("UPDATE capf_operation SET state = 'success', ended_at = now(), unsettled = "
                                           "'confirm', session_claim = NULL, session_until = NULL FROM cluster c WHERE "
                                           "c.cluster_id = capf_operation.cluster_id RETURNING c.cluster_id, name, "
                                           "operation_id, device, issuance_id"));
  for (const Row row : rows) {
    UnsettledOperation& operation = acknowledged.emplace_back();
    ASSERT_OK(row.Scan(operation.cluster_id, operation.cluster, operation.operation_id, operation.device,
                       operation.issuance_id));
  }
  ASSERT_EQ(acknowledged.size(), 2 * kPhones);

  // 2. All at once.
  std::vector<std::thread> threads;
  for (const UnsettledOperation& operation : acknowledged) {
    threads.emplace_back([&] { EXPECT_OK(desk_->settlement().Settle(operation)); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Count("SELECT count(*) FROM capf_operation WHERE unsettled IS NOT NULL"), 0);
  for (const std::string_view cluster : kClusters) {
    EXPECT_EQ(Count(fmt::format("SELECT count(*) FROM issuance JOIN cluster USING (cluster_id) WHERE name = '{}' AND "
                                "state = 'confirmed'",
                                cluster)),
              kPhones);
  }
}

TEST_F(DeskWithCadTest, WithoutCadNothingIsIssuedAndNothingFails) {
  const OperationClaim claim = AdmittedClaim();
  cad_->Kill();
  EXPECT_THAT((*desk_)->Issue(claim, PublicKeyOf(MakeEcKey("P-256").get())),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("cad")));
  ASSERT_OK((*desk_)->Release(claim));
  EXPECT_EQ(StateOf(claim.operation_id), "pending");
}

TEST_F(DeskWithCadTest, ACertificateThatWasRevokedMeanwhileIsNoSuccess) {
  const OperationClaim claim = AdmittedClaim();
  ASSERT_OK((*desk_)->Issue(claim, PublicKeyOf(MakeEcKey("P-256").get())));
  ASSERT_OK(desk_->cad().Revoke("default", Text("SELECT encode(serial, 'hex') FROM issuance")));
  ASSERT_OK((*desk_)->Acknowledge(claim));
  EXPECT_EQ(StateOf(claim.operation_id), "failed");
  EXPECT_EQ(Count("SELECT count(*) FROM capf_operation WHERE unsettled IS NULL"), 1);
  EXPECT_EQ(Count(kInForce), 0);
}

TEST_F(DeskWithCadTest, AfterACrashOneCertificateIsInForce) {
  const int64_t id = ScheduleString("04711");
  const Admission lost = AdmitWith("04711");
  ASSERT_OK((*desk_)->Issue(lost.claim, PublicKeyOf(MakeEcKey("P-256").get())));
  StartDeskAgain();
  EXPECT_EQ(Sweep().released, 1);

  const Admission admission = AdmitWith("04711");
  ASSERT_EQ(admission.verdict, Verdict::kAdmitted) << admission.reason;
  ASSERT_OK_AND_ASSIGN(const std::string der, (*desk_)->Issue(admission.claim, PublicKeyOf(MakeEcKey("P-256").get())));
  ASSERT_OK((*desk_)->Acknowledge(admission.claim));
  EXPECT_EQ(StateOf(id), "success");
  EXPECT_EQ(Count("SELECT count(*) FROM issuance"), 2);
  EXPECT_EQ(Count(kInForce), 1);
  EXPECT_EQ(Count(fmt::format("SELECT count(*) FROM issuance WHERE state = 'confirmed' AND certificate = '\\x{}'",
                              ToHex(AsBytes(der)))),
            1);
}

TEST_F(DeskWithCadTest, WhatTheDeviceNeverAcknowledgedIsRevokedWhenItsOperationEnds) {
  Enrol();
  ScheduleString("04711");
  const Admission broken = AdmitWith("04711");
  ASSERT_OK((*desk_)->Issue(broken.claim, PublicKeyOf(MakeEcKey("P-256").get())));
  ASSERT_OK((*desk_)->Release(broken.claim));
  const Admission failed = AdmitWith("04711");
  ASSERT_OK((*desk_)->Issue(failed.claim, PublicKeyOf(MakeEcKey("P-256").get())));
  ASSERT_OK((*desk_)->Fail(failed.claim, "the phone could not store its certificate"));
  EXPECT_EQ(Count(kInForce), 3);
  clock_.Advance(absl::Seconds(10));
  EXPECT_EQ(Sweep().settled, 1);
  EXPECT_EQ(Count("SELECT count(*) FROM capf_operation WHERE unsettled IS NOT NULL"), 0);
  EXPECT_EQ(Count(kInForce), 1);
  EXPECT_EQ(Count("SELECT count(*) FROM issuance WHERE state = 'confirmed'"), 1) << "what it has acknowledged stays";
}

TEST_F(DeskWithCadTest, ACertificateForASessionThatLostItsOperationIsRevokedAtOnce) {
  ScheduleString("04711");
  const Admission slow = AdmitWith("04711");
  // While cad is asked another session takes the operation over.
  RunByHand(
      "CREATE FUNCTION take_over() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN UPDATE capf_operation "
      "SET session_claim = '\\x00112233445566778899aabbccddeeff'; RETURN NEW; END $$; "
      "CREATE TRIGGER take_over AFTER INSERT ON issuance FOR EACH ROW EXECUTE FUNCTION take_over()");
  EXPECT_THAT((*desk_)->Issue(slow.claim, PublicKeyOf(MakeEcKey("P-256").get())), StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(Count("SELECT count(*) FROM issuance WHERE state = 'revoked'"), 1);
  EXPECT_EQ(Count(kInForce), 0);
}

// cad has issued, and that could not be written down.
TEST_F(DeskWithCadTest, ACertificateThatNeverCameOnRecordIsRevokedWithItsOperation) {
  RunByHand(
      "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the disk is full' USING "
      "ERRCODE = 'disk_full'; END $$");
  const auto lose_certificate = [&] {
    RunByHand(
        "CREATE TRIGGER fail BEFORE UPDATE OF issuance_id ON capf_operation FOR EACH ROW WHEN (NEW.issuance_id IS NOT "
        "NULL) EXECUTE FUNCTION fail()");
    const OperationClaim claim = AdmittedClaim();
    EXPECT_FALSE((*desk_)->Issue(claim, PublicKeyOf(MakeEcKey("P-256").get())).ok());
    RunByHand("DROP TRIGGER fail ON capf_operation");
    EXPECT_EQ(Count(kInForce), 1);
    EXPECT_EQ(Count("SELECT count(*) FROM capf_operation WHERE issuance_id IS NOT NULL"), 0);
    ASSERT_OK((*desk_)->Release(claim));
    clock_.Advance(absl::Seconds(10));
    EXPECT_EQ(Sweep().settled, 0) << "the phone may come again";
  };

  // Nothing comes after it.
  lose_certificate();
  ASSERT_OK(RunInTransaction(*pool_, {}, [&](Connection& connection) {
    return OperationStore(connection, 1).Cancel({kEnrolmentPhone}, "taken back", clock_.Now());
  }));
  clock_.Advance(absl::Seconds(10));
  EXPECT_EQ(Sweep().settled, 1);
  EXPECT_EQ(Count(kInForce), 0);

  // Another operation takes its place and begins: its end sees to both.
  lose_certificate();
  const OperationClaim second = AdmittedClaim();
  ASSERT_OK((*desk_)->Issue(second, PublicKeyOf(MakeEcKey("P-256").get())));
  clock_.Advance(absl::Seconds(10));
  EXPECT_EQ(Sweep().settled, 1);
  EXPECT_EQ(Count(kInForce), 2);
  const Admission again = AdmitWith("");  // to a new sweeper its node had died
  ASSERT_EQ(again.claim.operation_id, second.operation_id);
  ASSERT_OK((*desk_)->Fail(again.claim, "the phone could not store its certificate"));
  clock_.Advance(absl::Seconds(10));
  EXPECT_EQ(Sweep().settled, 1);
  EXPECT_EQ(Count(kInForce), 0);
  EXPECT_EQ(Count("SELECT count(*) FROM capf_operation WHERE unsettled IS NOT NULL"), 0);
}

TEST_F(DeskWithCadTest, ADeletionRevokesWhatTheDeviceHad) {
  Enrol();
  Enrol();
  EXPECT_EQ(Count(kInForce), 2);
  const OperationClaim claim = AdmittedClaim(CapfOperation::kDelete);
  ASSERT_OK((*desk_)->Deleted(claim));
  EXPECT_EQ(Count(kInForce), 0);
  constexpr int kCessationOfOperation = 5;
  EXPECT_EQ(Count(fmt::format("SELECT count(*) FROM issuance WHERE state = 'revoked' AND revocation_reason = {} AND "
                              "revoked_by = '{}'",
                              kCessationOfOperation, kEnrolmentActor)),
            2);
  EXPECT_EQ(Count("SELECT count(*) FROM capf_operation WHERE unsettled IS NOT NULL"), 0);
}

TEST_F(DeskWithCadTest, ADeletionThatIsSettledLaterLeavesWhatCameAfterIt) {
  Enrol();
  const OperationClaim claim = AdmittedClaim(CapfOperation::kDelete);
  cad_->Kill();
  ASSERT_OK((*desk_)->Deleted(claim));
  EXPECT_EQ(Count(kInForce), 1);
  StartCadAgain();
  Enrol();
  clock_.Advance(absl::Seconds(10));
  EXPECT_EQ(Sweep().settled, 1);
  EXPECT_EQ(Count(kInForce), 1);
  EXPECT_EQ(Count("SELECT count(*) FROM issuance WHERE state = 'confirmed' AND issuance_id = (SELECT max(issuance_id) "
                  "FROM issuance)"),
            1);
}

TEST_F(DeskWithCadTest, WhatCadIssuedProvesThePhone) {
  EvpPkeyPtr key = Enrol();
  const std::string hex = Text("SELECT encode(certificate, 'hex') FROM issuance");
  const ProvingParty lsc = {std::move(key), *Certificate::FromDer(AsBytes(*FromHex(hex)))};
  // cad made it valid by the real time.
  clock_.Set(absl::Now());
  const int64_t id = ScheduleOne(Order(EnrolmentAuthentication::kCertificateMic));
  const Admission admission = Admit(MakeSessionProof(lsc, kEnrolmentPhone, kSessionId));
  ASSERT_EQ(admission.verdict, Verdict::kAdmitted) << admission.reason;
  EXPECT_EQ(admission.claim.operation_id, id);
}

TEST_F(DeskWithCadTest, UnknownDevicesAreAddedThroughCad) {
  RunByHand("INSERT INTO device (cluster_id, name, state, added_by) VALUES (1, 'SEP0000000000A1', 'retired', 'test')");
  EXPECT_THAT(desk_->cad().AddDevices("default", {"SEP0000000000A1", "SEP0000000000A2", "SEP0000000000A3"}),
              IsOkAndHolds(ElementsAre("SEP0000000000A2", "SEP0000000000A3")));
  EXPECT_THAT(desk_->cad().AddDevices("default", {"SEP0000000000A2", "SEP0000000000A3"}), IsOkAndHolds(IsEmpty()));
  EXPECT_EQ(Count(fmt::format("SELECT count(*) FROM device WHERE added_by = '{}'", kEnrolmentActor)), 2);
  EXPECT_THAT(desk_->cad().AddDevices("nowhere", {"SEP0000000000A4"}), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace trustline
