// Who is admitted by a certificate, by the desk on a real database.
#include "capf/admitter.h"
#include "capf/desk_testing.h"
#include "capf/proof_testing.h"
#include "common/x509/x509_testing.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;
using Verdict = Admission::Verdict;

const Party& Manufacturer() {
  static const Party* const party = new Party(MakeSelfSigned(AuthorityForm("Manufacturer")));
  return *party;
}
const Party& OurAuthority() {
  static const Party* const party = new Party(MakeSelfSigned(AuthorityForm("LSC authority")));
  return *party;
}

ProvingParty IssuedBy(const Party& authority, std::string_view common_name) {
  const Party party = MakeIssued(LeafForm(common_name), authority);
  EVP_PKEY_up_ref(party.key.get());
  return {EvpPkeyPtr(party.key.get()), party.certificate};
}
ProvingParty MakeMic() { return IssuedBy(Manufacturer(), fmt::format("CP-8841-{}", kEnrolmentPhone)); }

std::string Hex(ByteView bytes) { return fmt::format("'\\x{}'", ToHex(bytes)); }

class AdmitterCertificateTest : public DeskTest {
 protected:
  void SetUp() override {
    DeskTest::SetUp();
    clock_.Set(kTestNow);
    const Certificate& authority = Manufacturer().certificate;
    RunByHand(
        fmt::format("INSERT INTO client_authority (cluster_id, purpose, sha256, der, subject, not_after, "
                    "added_by) VALUES (1, 'manufacturing', {}, {}, 'CN=Manufacturer', '2100-01-01', 'test')",
                    Hex(authority.sha256()), Hex(authority.der())));
  }

  void SetPolicy(bool re_enrol, bool allow_expired, bool require_sudi) {
    RunByHand(
        fmt::format("INSERT INTO capf_policy (cluster_id, re_enrol_by_mic, allow_expired_mic, require_sudi, "
                    "key_order, rsa_bits, curve, changed_by) VALUES (1, {}, {}, {}, 'ec', 2048, 'secp384r1', "
                    "'test')",
                    re_enrol, allow_expired, require_sudi));
  }
  // A certificate of ours that is on record.
  ProvingParty MakeLsc() {
    ProvingParty lsc = IssuedBy(OurAuthority(), kEnrolmentPhone);
    AddCertificate(kEnrolmentPhone);
    RunByHand(
        fmt::format("UPDATE ca_authority SET certificate = {}; UPDATE issuance SET serial = {}, sha256 = {}, "
                    "certificate = {}",
                    Hex(OurAuthority().certificate.der()), Hex(lsc.certificate.serial()), Hex(lsc.certificate.sha256()),
                    Hex(lsc.certificate.der())));
    return lsc;
  }
  static CapfElements SessionProof(const ProvingParty& party) {
    return MakeSessionProof(party, kEnrolmentPhone, kSessionId);
  }
  void ExpectRefused(const CapfElements& response, const std::string& reason_part) {
    const Admission admission = Admit(response);
    EXPECT_EQ(admission.verdict, Verdict::kRefused);
    EXPECT_THAT(admission.reason, HasSubstr(reason_part));
  }
  void ExpectAdmitted(const CapfElements& response) {
    const Admission admission = Admit(response);
    ASSERT_EQ(admission.verdict, Verdict::kAdmitted) << admission.reason;
    ASSERT_OK((*desk_)->Release(admission.claim));
  }
  uint64_t ReplayableProofs() {
    return desk_->metrics().GetCounter("trustline_capf_replayable_proofs_total", "", {{"cluster", "default"}}).value();
  }
};

TEST_F(AdmitterCertificateTest, EitherOfTheTwoKindsIsTakenWhicheverIsPreferred) {
  const ProvingParty mic = MakeMic();
  const ProvingParty lsc = MakeLsc();
  for (const auto mode : {EnrolmentAuthentication::kCertificateLsc, EnrolmentAuthentication::kCertificateMic}) {
    ScheduleOne(Order(mode));
    ExpectAdmitted(SessionProof(mic));
    ExpectAdmitted(SessionProof(lsc));
    CapfElements both = MakeProof(lsc, kEnrolmentPhone);
    both.sudi_data = MakeSudiData(mic, kSessionId);
    ExpectAdmitted(both);
  }
  EXPECT_EQ(ReplayableProofs(), 0U);
}

TEST_F(AdmitterCertificateTest, AnythingElseIsRefusedAndAudited) {
  ScheduleOne(Order(EnrolmentAuthentication::kCertificateLsc));
  ExpectRefused(Response(kEnrolmentPhone), "no certificate");
  ExpectRefused(Response(kEnrolmentPhone, "1234"), "no certificate");

  const ProvingParty mic = MakeMic();
  CapfElements unproved = SessionProof(mic);
  unproved.signed_data->back() ^= 1;
  ExpectRefused(unproved, "its proof by certificate is wrong");
  WaitForAudit("capf.authenticate", "denied", "its proof by certificate is wrong");

  const ProvingParty others = IssuedBy(Manufacturer(), "CP-8841-SEP001122334466");
  ExpectRefused(SessionProof(others), "does not prove it");
  WaitForAudit("capf.authenticate", "denied", "it is the certificate of SEP001122334466");
  const ProvingParty strangers = MakeProvingParty(MakeEcKey("P-256"), fmt::format("CP-8841-{}", kEnrolmentPhone));
  ExpectRefused(SessionProof(strangers), "does not prove it");

  // Its own certificate, but somebody else's session.
  CapfElements borrowed = MakeProof(mic, kEnrolmentPhone);
  borrowed.sudi_data = MakeSudiData(others, kSessionId);
  ExpectRefused(borrowed, "does not prove it");
  borrowed.sudi_data = MakeSudiData(mic, kSessionId + 1);
  ExpectRefused(borrowed, "its proof by certificate is wrong");
  EXPECT_EQ(Count("SELECT count(*) FROM capf_operation WHERE state = 'pending'"), 1);
}

TEST_F(AdmitterCertificateTest, ARevokedCertificateIsRefused) {
  const ProvingParty lsc = MakeLsc();
  ScheduleOne(Order(EnrolmentAuthentication::kCertificateLsc));
  ExpectAdmitted(SessionProof(lsc));
  RunByHand("UPDATE issuance SET state = 'revoked', revoked_at = now(), revocation_reason = 1");
  ExpectRefused(SessionProof(lsc), "it was revoked");
}

TEST_F(AdmitterCertificateTest, AProofThatCanBeRepeatedIsCountedUnlessThePolicyRefusesIt) {
  const ProvingParty mic = MakeMic();
  ScheduleOne(Order(EnrolmentAuthentication::kCertificateMic));
  ExpectAdmitted(MakeProof(mic, kEnrolmentPhone));
  EXPECT_EQ(ReplayableProofs(), 1U);
  SetPolicy(false, false, true);
  ExpectRefused(MakeProof(mic, kEnrolmentPhone), "does not cover the session");
  ExpectAdmitted(SessionProof(mic));
  EXPECT_EQ(ReplayableProofs(), 1U);
}

TEST_F(AdmitterCertificateTest, AnExpiredMicNeedsThePolicyAndIsAudited) {
  const ProvingParty mic = MakeMic();
  clock_.Set(kTestNow + absl::Hours(24 * 60));
  ScheduleOne(Order(EnrolmentAuthentication::kCertificateMic));
  ExpectRefused(SessionProof(mic), "it has ended on");
  SetPolicy(false, true, false);
  EXPECT_EQ(Audited("capf.authenticate", "done"), 0);
  ExpectAdmitted(SessionProof(mic));
  EXPECT_EQ(Audited("capf.authenticate", "done", "CP-8841-SEP001122334455"), 1);
}

TEST_F(AdmitterCertificateTest, AfterAFactoryResetAPhoneIsEnrolledAgainUnderThePolicy) {
  const ProvingParty mic = MakeMic();
  EXPECT_EQ(Admit(SessionProof(mic)).verdict, Verdict::kNothingScheduled);
  SetPolicy(true, false, false);
  ExpectRefused(SessionProof(MakeProvingParty(MakeEcKey("P-256"), kEnrolmentPhone)), "does not prove it");
  // Over the rate nothing is made for it.
  while (rate_.Admits(clock_.Now())) continue;
  EXPECT_EQ(Admit(SessionProof(mic)).verdict, Verdict::kOverRate);
  EXPECT_EQ(Count("SELECT count(*) FROM capf_operation"), 0);

  clock_.Advance(absl::Seconds(1));
  const Admission admission = Admit(SessionProof(mic));
  ASSERT_EQ(admission.verdict, Verdict::kAdmitted) << admission.reason;
  EXPECT_EQ(admission.claim.operation, CapfOperation::kInstall);
  EXPECT_THAT(admission.claim.keys,
              ::testing::ElementsAre(KeyRequest{.type = CapfKeyType::kEc, .curve = CapfCurve::kSecp384r1}));
  EXPECT_EQ(Count(fmt::format("SELECT count(*) FROM capf_operation WHERE operation_id = {} AND state = 'in progress' "
                              "AND authentication = 'certificate-mic' AND scheduled_by = '{}'",
                              admission.claim.operation_id, kEnrolmentActor)),
            1);
  EXPECT_EQ(Audited("capf.schedule", "done", "the policy that"), 1);
  // The phone that broke off finds the same operation.
  ASSERT_OK((*desk_)->Release(admission.claim));
  EXPECT_EQ(Admit(SessionProof(mic)).claim.operation_id, admission.claim.operation_id);
}

TEST_F(AdmitterCertificateTest, ThePolicyIsForManufacturersCertificatesOnly) {
  SetPolicy(true, false, false);
  EXPECT_EQ(Admit(SessionProof(MakeLsc())).verdict, Verdict::kNothingScheduled);
  EXPECT_EQ(Admit(Response(kEnrolmentPhone)).verdict, Verdict::kNothingScheduled);
  EXPECT_EQ(Count("SELECT count(*) FROM capf_operation"), 0);
}

TEST_F(AdmitterCertificateTest, AUsedStringIsRefusedAlsoWithACertificate) {
  SetPolicy(true, false, false);
  ScheduleString("04711");
  RunByHand("UPDATE capf_operation SET state = 'success', ended_at = now(), string_used_at = now()");
  const ProvingParty mic = MakeMic();
  CapfElements response = SessionProof(mic);
  response.password = SecretBytes("04711");
  ExpectRefused(response, "used up");
  EXPECT_EQ(Admit(SessionProof(mic)).verdict, Verdict::kAdmitted);
}

}  // namespace
}  // namespace trustline
