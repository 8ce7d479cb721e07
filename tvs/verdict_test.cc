#include "tvs/verdict.h"

#include "tests/support/status_matchers.h"
#include "tvs/trust_store_testing.h"

namespace trustline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const int kSast = 0;
const int kTftp = 3;
const int kAppServer = 7;

const Party& Root() {
  static const Party* const root = new Party(MakeSelfSigned(AuthorityForm("Root")));
  return *root;
}
const Party& Leaf() {
  static const Party* const leaf = new Party(MakeIssued(LeafForm("leaf.example"), Root()));
  return *leaf;
}
const Party& Lone() {
  static const Party* const lone = new Party(MakeSelfSigned(LeafForm("lone.example")));
  return *lone;
}

TrustVerdict Judge(const TrustSnapshot& snapshot, const Certificate& certificate, absl::Time now = kTestNow) {
  return JudgeCertificate(snapshot, certificate.der(), now);
}

TEST(VerdictTest, AStoredCertificateIsValidInItsRolesWithTheLeastTtl) {
  const auto snapshot = MakeSnapshot({{.certificate = Lone().certificate, .role = kAppServer, .ttl_seconds = 3'600},
                                      {.certificate = Lone().certificate, .role = kTftp, .ttl_seconds = 7'200}});
  const TrustVerdict verdict = Judge(*snapshot, Lone().certificate);
  EXPECT_TRUE(verdict.ValidForPhones());
  EXPECT_THAT(verdict.roles.Roles(), ElementsAre(CertificateRole::kTftp, CertificateRole::kAppServer));
  EXPECT_EQ(verdict.ttl_seconds, 3'600u);
}

TEST(VerdictTest, TheTtlDoesNotOutliveTheCertificate) {
  const auto snapshot = MakeSnapshot({{.certificate = Lone().certificate}});
  const absl::Time end = Lone().certificate.not_after();
  EXPECT_EQ(Judge(*snapshot, Lone().certificate, end - absl::Seconds(100)).ttl_seconds, 100u);
  EXPECT_TRUE(Judge(*snapshot, Lone().certificate, end).valid);
  EXPECT_EQ(Judge(*snapshot, Lone().certificate, end + absl::Seconds(1)).reason, InvalidReason::kExpired);
  EXPECT_EQ(Judge(*snapshot, Lone().certificate, Lone().certificate.not_before() - absl::Seconds(1)).reason,
            InvalidReason::kNotYetValid);
}

TEST(VerdictTest, UnknownRemovedAndMalformedAreToldApart) {
  const auto snapshot = MakeSnapshot({{.certificate = Lone().certificate, .removed = true}});
  const TrustVerdict removed = Judge(*snapshot, Lone().certificate);
  EXPECT_EQ(removed.reason, InvalidReason::kRemoved);
  EXPECT_TRUE(removed.known);
  const TrustVerdict unknown = Judge(*snapshot, Leaf().certificate);
  EXPECT_EQ(unknown.reason, InvalidReason::kUnknown);
  EXPECT_FALSE(unknown.known);
  EXPECT_EQ(JudgeCertificate(*snapshot, AsBytes("garbage"), kTestNow).reason, InvalidReason::kMalformed);
  const std::string trailing = std::string(AsText(Leaf().certificate.der())) + "x";
  EXPECT_EQ(JudgeCertificate(*snapshot, AsBytes(trailing), kTestNow).reason, InvalidReason::kMalformed);
}

TEST(VerdictTest, ARoleThatIsAskedForMustBeThere) {
  const auto snapshot = MakeSnapshot({{.certificate = Lone().certificate, .role = kAppServer}});
  TrustVerdict verdict = Judge(*snapshot, Lone().certificate);
  RequireRole(verdict, CertificateRole::kAppServer);
  EXPECT_TRUE(verdict.valid);
  RequireRole(verdict, CertificateRole::kSast);
  EXPECT_EQ(verdict.reason, InvalidReason::kWrongRole);
  EXPECT_THAT(ExplainVerdict(verdict), HasSubstr("APP-SERVER"));
}

TEST(VerdictTest, AnAnchorGivesItsRolesToWhatItIssued) {
  const auto snapshot =
      MakeSnapshot({{.certificate = Root().certificate, .role = kAppServer, .ttl_seconds = 600, .anchor = true},
                    {.certificate = Root().certificate, .role = kSast, .ttl_seconds = 60, .anchor = false}});
  const TrustVerdict verdict = Judge(*snapshot, Leaf().certificate);
  EXPECT_TRUE(verdict.ValidForPhones());
  EXPECT_THAT(verdict.roles.Roles(), ElementsAre(CertificateRole::kAppServer));
  EXPECT_EQ(verdict.ttl_seconds, 600u);
  ASSERT_EQ(verdict.issuers.size(), 1u);
  EXPECT_EQ(verdict.issuers[0], Root().certificate);
}

TEST(VerdictTest, AnAnchorWithoutARoleMakesValidButNotForPhones) {
  const auto snapshot = MakeSnapshot({{.certificate = Root().certificate, .role = -1, .anchor = true}});
  const TrustVerdict verdict = Judge(*snapshot, Leaf().certificate);
  EXPECT_TRUE(verdict.valid);
  EXPECT_FALSE(verdict.ValidForPhones());
  EXPECT_THAT(verdict.roles.Roles(), IsEmpty());
}

TEST(VerdictTest, WithoutTheAnchorFlagOrOnceRemovedAnAuthorityVouchesForNothing) {
  EXPECT_FALSE(Judge(*MakeSnapshot({{.certificate = Root().certificate}}), Leaf().certificate).valid);
  EXPECT_FALSE(
      Judge(*MakeSnapshot({{.certificate = Root().certificate, .anchor = true, .removed = true}}), Leaf().certificate)
          .valid);
}

TEST(VerdictTest, ARemovedCertificateStaysInvalidUnderAnAnchor) {
  const auto snapshot = MakeSnapshot(
      {{.certificate = Root().certificate, .anchor = true}, {.certificate = Leaf().certificate, .removed = true}});
  EXPECT_EQ(Judge(*snapshot, Leaf().certificate).reason, InvalidReason::kRemoved);
}

TEST(VerdictTest, APathMayLeadThroughAStoredIntermediate) {
  CertificateTemplate top_form = AuthorityForm("Top");
  top_form.path_length = 1;
  const Party top = MakeSelfSigned(top_form);
  const Party middle = MakeIssued(AuthorityForm("Middle"), top);
  const Party leaf = MakeIssued(LeafForm("below.example"), middle);
  const auto with_middle = MakeSnapshot(
      {{.certificate = top.certificate, .anchor = true}, {.certificate = middle.certificate, .role = kSast}});
  const TrustVerdict verdict = Judge(*with_middle, leaf.certificate);
  EXPECT_TRUE(verdict.valid) << ExplainVerdict(verdict);
  EXPECT_THAT(verdict.roles.Roles(), ElementsAre(CertificateRole::kAppServer));
  EXPECT_EQ(verdict.issuers.size(), 2u);
  EXPECT_EQ(Judge(*MakeSnapshot({{.certificate = top.certificate, .anchor = true}}), leaf.certificate).reason,
            InvalidReason::kUnknown);
  // The middle one revoked by the top: nothing below it is valid any more.
  const std::string crl = MakeTestCrl(top, {middle.certificate}, kTestNow, kTestNow + absl::Hours(24));
  const auto revoked = MakeSnapshot(
      {{.certificate = top.certificate, .anchor = true}, {.certificate = middle.certificate, .role = kSast}}, {crl});
  EXPECT_EQ(Judge(*revoked, leaf.certificate).reason, InvalidReason::kRevoked);
}

TEST(VerdictTest, AnImpostorOfTheAnchorsNameIsNotBelieved) {
  const Party impostor = MakeSelfSigned(AuthorityForm("Root"));
  const Party forged = MakeIssued(LeafForm("forged.example"), impostor);
  const TrustVerdict verdict =
      Judge(*MakeSnapshot({{.certificate = Root().certificate, .anchor = true}}), forged.certificate);
  EXPECT_FALSE(verdict.valid);
}

TEST(VerdictTest, CrlsDecideAndBoundTheTtl) {
  const Party other = MakeIssued(LeafForm("other.example"), Root());
  const std::string crl = MakeTestCrl(Root(), {Leaf().certificate}, kTestNow, kTestNow + absl::Minutes(10));
  for (const bool stored : {false, true}) {
    std::vector<TestEntry> entries = {{.certificate = Root().certificate, .anchor = true}};
    if (stored) {
      entries.push_back({.certificate = Leaf().certificate});
      entries.push_back({.certificate = other.certificate});
    }
    const auto snapshot = MakeSnapshot(entries, {crl});
    EXPECT_EQ(Judge(*snapshot, Leaf().certificate).reason, InvalidReason::kRevoked) << stored;
    EXPECT_TRUE(Judge(*snapshot, Leaf().certificate).known) << "answered even while the database is away";
    EXPECT_EQ(Judge(*snapshot, other.certificate).ttl_seconds, 600u) << stored;
    // Past its next update the CRL still revokes, and of the others nobody knows.
    const absl::Time later = kTestNow + absl::Minutes(11);
    EXPECT_EQ(Judge(*snapshot, Leaf().certificate, later).reason, InvalidReason::kRevoked) << stored;
    EXPECT_EQ(Judge(*snapshot, other.certificate, later).reason, InvalidReason::kRevocationUnknown) << stored;
  }
}

TEST(VerdictTest, ACrlOfAnotherIssuerDecidesNothing) {
  const Party stranger = MakeSelfSigned(AuthorityForm("Stranger"));
  const std::string crl = MakeTestCrl(stranger, {Leaf().certificate}, kTestNow, kTestNow + absl::Minutes(10));
  const auto snapshot = MakeSnapshot({{.certificate = Leaf().certificate}}, {crl});
  const TrustVerdict verdict = Judge(*snapshot, Leaf().certificate);
  EXPECT_TRUE(verdict.valid);
  EXPECT_EQ(verdict.ttl_seconds, 86'400u);
}

TEST(VerdictTest, ASignerIsFoundByIssuerAndSerial) {
  const auto snapshot = MakeSnapshot({{.certificate = Lone().certificate, .role = kTftp}});
  const Certificate& lone = Lone().certificate;
  const TrustVerdict verdict = JudgeSigner(*snapshot, IssuerSerialKey(lone.issuer().key(), lone.serial()), kTestNow);
  EXPECT_TRUE(verdict.valid);
  EXPECT_EQ(AsText(verdict.record->Der()), AsText(lone.der()));
  EXPECT_EQ(JudgeSigner(*snapshot, IssuerSerialKey(lone.issuer().key(), AsBytes("no")), kTestNow).reason,
            InvalidReason::kUnknown);
}

TEST(VerdictTest, EveryReasonHasItsOwnNameAndWords) {
  std::set<std::string_view> names;
  std::set<std::string> words;
  for (size_t i = 0; i < kInvalidReasons; ++i) {
    const TrustVerdict verdict{.reason = static_cast<InvalidReason>(i)};
    names.insert(InvalidReasonName(verdict.reason));
    words.insert(ExplainVerdict(verdict));
  }
  EXPECT_EQ(names.size(), kInvalidReasons);
  EXPECT_EQ(words.size(), kInvalidReasons);
  EXPECT_FALSE(words.contains(""));
}

}  // namespace
}  // namespace trustline
