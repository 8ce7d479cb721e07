#include "itl/trust_store/trust_import.h"

#include <openssl/bn.h>
#include <openssl/rsa.h>

#include <algorithm>

#include "common/bytes/bytes.h"
#include "common/postgres/transaction.h"
#include "itl/itl_testing.h"
#include "itl/trust_store/certificate_admission.h"
#include "itl/trust_store/trust_store_reader.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const ImportOptions kAppServer = {.roles = {CertificateRole::kAppServer}};

class TrustImportTest : public ItlDatabaseTest {};

TEST_F(TrustImportTest, AddsEntriesAndAuditsThem) {
  const Certificate certificate = MakeCertificate("server.example");
  ASSERT_OK_AND_ASSIGN(
      const ImportResult result,
      Import({certificate}, {.roles = {CertificateRole::kTvs, CertificateRole::kAppServer}, .ttl = absl::Hours(1)}));
  EXPECT_EQ(result.commit, 1);
  EXPECT_EQ(result.added, 1);
  EXPECT_EQ(result.unchanged, 0);
  EXPECT_THAT(result.first, ElementsAre(certificate.sha256()));
  EXPECT_THAT(result.warnings, IsEmpty());
  EXPECT_EQ(TrustCommit(), 1);

  ASSERT_OK_AND_ASSIGN(const std::vector<TrustedCertificate> found,
                       TrustStoreReader(*itld_, 1).Load(std::span(&certificate.sha256(), 1), false));
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].subject, "CN=server.example,O=Example");
  EXPECT_EQ(found[0].public_key, "EC secp256r1");
  EXPECT_EQ(found[0].not_after, certificate.not_after());
  EXPECT_EQ(found[0].serial, AsText(certificate.serial()));
  ASSERT_THAT(found[0].entries, SizeIs(2));
  EXPECT_EQ(found[0].entries[0].role, CertificateRole::kAppServer);
  EXPECT_EQ(found[0].entries[1].role, CertificateRole::kTvs);
  EXPECT_EQ(found[0].entries[1].ttl, absl::Hours(1));
  EXPECT_EQ(found[0].entries[1].origin, "import");
  EXPECT_EQ(found[0].entries[1].added_by, kTestActor);
  EXPECT_FALSE(found[0].entries[1].anchor);

  EXPECT_EQ(Text("SELECT action || ' ' || subject || ' ' || actor FROM audit_event"),
            fmt::format("trust.add {} {}", ToHex(certificate.sha256()), kTestActor));
  EXPECT_THAT(Text("SELECT detail FROM audit_event"),
              AllOf(HasSubstr(R"("roles":"APP-SERVER,TVS")"), HasSubstr(R"("ttl":"1h")"),
                    HasSubstr(ToHex(Sha256(certificate.sha256())))));
}

TEST_F(TrustImportTest, TheSameAgainChangesNothing) {
  const Certificate certificate = MakeCertificate("server.example");
  ASSERT_OK(Import({certificate}, kAppServer));
  ASSERT_OK_AND_ASSIGN(const ImportResult again, Import({certificate, certificate}, kAppServer));
  EXPECT_EQ(again.commit, 0);
  EXPECT_EQ(again.added, 0);
  EXPECT_EQ(again.unchanged, 1);
  EXPECT_EQ(TrustCommit(), 1);
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event"), 1);
}

TEST_F(TrustImportTest, AnotherRoleIsAnotherEntry) {
  const Certificate known = MakeCertificate("known.example");
  const Certificate fresh = MakeCertificate("new.example");
  ASSERT_OK(Import({known}, kAppServer));
  ASSERT_OK_AND_ASSIGN(const ImportResult result,
                       Import({known, fresh}, {.roles = {CertificateRole::kAppServer, CertificateRole::kTftp}}));
  EXPECT_EQ(result.added, 2);
  ASSERT_OK_AND_ASSIGN(const ImportResult mixed, Import({known, MakeCertificate("third.example")}, kAppServer));
  EXPECT_EQ(mixed.added, 1);
  EXPECT_EQ(mixed.unchanged, 1);
  EXPECT_EQ(Count("SELECT count(*) FROM trust_entry WHERE commit_number = 3"), 1);
}

TEST_F(TrustImportTest, OtherTermsAreAnErrorThatNamesTheFirst) {
  const Certificate first = MakeCertificate("first.example");
  const Certificate second = MakeCertificate("second.example");
  ASSERT_OK(Import({first, second}, kAppServer));
  EXPECT_THAT(Import({MakeCertificate("other.example"), second, first},
                     {.roles = {CertificateRole::kAppServer}, .ttl = absl::Hours(2)}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("file2.pem"), HasSubstr("second.example"), HasSubstr("TTL 1d"),
                             HasSubstr("trustctl trust set " + ToHex(second.sha256()).substr(0, 16)))));
  EXPECT_THAT(Import({first}, {.roles = {CertificateRole::kAppServer}, .anchor = true}),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(Count("SELECT count(*) FROM trust_entry"), 2);
  EXPECT_EQ(TrustCommit(), 1);
}

TEST_F(TrustImportTest, ARemovedEntryBecomesLiveAgain) {
  const Certificate certificate = MakeCertificate("server.example");
  ASSERT_OK(Import({certificate}, kAppServer));
  RunByHand("UPDATE trust_entry SET removed_at = now(), removed_by = 'somebody'");
  ASSERT_OK_AND_ASSIGN(const ImportResult again,
                       Import({certificate}, {.roles = {CertificateRole::kAppServer}, .ttl = absl::Minutes(5)}));
  EXPECT_EQ(again.added, 1);
  EXPECT_EQ(Count("SELECT count(*) FROM trust_entry WHERE removed_at IS NULL AND removed_by IS NULL "
                  "AND ttl_seconds = 300 AND commit_number = 2"),
            1);
}

TEST_F(TrustImportTest, AnchorsNeedNoRole) {
  const Party authority = MakeSelfSigned(AuthorityForm("Root"));
  ASSERT_OK_AND_ASSIGN(const ImportResult result, Import({authority.certificate}, {.anchor = true}));
  EXPECT_EQ(result.added, 1);
  EXPECT_EQ(Count("SELECT role::bigint FROM trust_entry WHERE anchor"), -1);
}

TEST_F(TrustImportTest, ListsWhatItAddsAndNeverWhatIsThere) {
  const Certificate known = MakeCertificate("known.example");
  const Certificate listed = MakeCertificate("listed.example");
  ImportOptions and_listed = kAppServer;
  and_listed.listed = true;
  ASSERT_OK(Import({known}, kAppServer));
  ASSERT_OK(Import({listed}, and_listed));
  EXPECT_EQ(Text("SELECT string_agg(listed::text, ' ' ORDER BY commit_number) FROM trust_entry"), "false true");
  EXPECT_THAT(Text("SELECT detail FROM audit_event ORDER BY event_id DESC LIMIT 1"), HasSubstr(R"("listed":"true")"));

  // The same again, listed or not, is no change.
  EXPECT_EQ(Import({listed}, and_listed)->commit, 0);
  EXPECT_EQ(Import({listed}, kAppServer)->unchanged, 1);
  EXPECT_EQ(TrustCommit(), 2);
  EXPECT_EQ(Count("SELECT count(*) FROM trust_entry WHERE listed"), 1);

  EXPECT_THAT(Import({listed, MakeCertificate("fresh.example"), known}, and_listed),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("file3.pem"), HasSubstr("not listed"),
                             HasSubstr("`trustctl trust set " + ToHex(known.sha256()).substr(0, 16) + " --listed`"))));
  EXPECT_EQ(TrustCommit(), 2);

  // One that comes back is listed as the one who adds it says, whatever it was.
  RunByHand("UPDATE trust_entry SET removed_at = now(), removed_by = 'somebody'");
  ASSERT_OK(Import({listed}, kAppServer));
  ASSERT_OK(Import({known}, and_listed));
  ASSERT_OK_AND_ASSIGN(const std::vector<TrustedCertificate> found,
                       TrustStoreReader(*itld_, 1).Load(std::vector{known.sha256(), listed.sha256()}, false));
  ASSERT_THAT(found, SizeIs(2));
  for (const TrustedCertificate& certificate : found) {
    EXPECT_EQ(certificate.entries.at(0).listed, certificate.sha256 == known.sha256());
  }
}

TEST_F(TrustImportTest, OptionsThatContradictThemselvesAreRefused) {
  const std::vector<Certificate> certificates = {MakeCertificate("server.example")};
  EXPECT_THAT(Import(certificates, {}),
              StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("APP-SERVER"), HasSubstr("CCM+TFTP"))));
  EXPECT_THAT(Import(certificates, {.anchor = true, .listed = true}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--listed needs --role")));
  for (const absl::Duration ttl :
       {absl::ZeroDuration(), absl::Seconds(-5), absl::Milliseconds(1500), absl::Hours(24 * 30) + absl::Seconds(1)}) {
    EXPECT_THAT(Import(certificates, {.roles = {CertificateRole::kTvs}, .ttl = ttl}),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("30 days")));
  }
  EXPECT_THAT(Import({}, kAppServer), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no certificate")));
}

TEST_F(TrustImportTest, BadCertificatesAreNamedAndNothingIsAdded) {
  const Certificate good = MakeCertificate("good.example");
  CertificateTemplate old_form = LeafForm("old.example");
  old_form.not_before = kTestNow - absl::Hours(48);
  old_form.not_after = kTestNow - absl::Hours(24);
  const std::string good_der(AsText(good.der()));
  EXPECT_THAT(ImportBytes({{good_der, "good.pem"},
                           {std::string(AsText(MakeCertificate(old_form).der())), "old.pem"},
                           {good_der + "x", "trailing.der"},
                           {good_der.substr(0, 100), "short.der"},
                           {std::string(20'000, 'x'), "large.der"},
                           {"", "empty.der"},
                           {WithReplaced(good.der(), "good", std::string_view("go\0d", 4)), "nul.der"}},
                          kAppServer),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("nothing was added"),
                             HasSubstr("old.pem (CN=old.example,O=Example): the certificate "
                                       "expired on 2026-11-30T00:00:00Z"),
                             HasSubstr("trailing.der"), HasSubstr("short.der"), HasSubstr("large.der"),
                             HasSubstr("empty.der"), HasSubstr("nul.der"), ::testing::Not(HasSubstr("good.pem")))));
  EXPECT_THAT(ImportBytes({{good_der, "two\nlines"}}, kAppServer), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(Count("SELECT count(*) FROM certificate"), 0);
  EXPECT_EQ(TrustCommit(), 0);
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event"), 0);
}

TEST_F(TrustImportTest, ManyBadOnesAreCutShort) {
  const std::vector<ImportCandidate> candidates(100, {"junk", "junk.der"});
  const auto result = ImportBytes(candidates, kAppServer);
  EXPECT_THAT(result, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("and more of them")));
  EXPECT_LT(result.status().message().size(), 2000u);
}

TEST(CertificateAdmissionTest, WarnsOfWhatIsWeakOrOdd) {
  const auto warnings = [](const Certificate& certificate, bool anchor) {
    return AdmitCertificate(certificate.der(), "f", anchor, kTestNow)->warnings;
  };
  CertificateTemplate form = LeafForm("a.example");
  form.not_after = kTestNow + absl::Hours(48);
  EXPECT_THAT(warnings(MakeCertificate(form), false), ElementsAre(HasSubstr("expires on 2026-12-03")));
  form.not_before = kTestNow + absl::Hours(24);
  form.not_after = kTestNow + absl::Hours(24 * 100);
  EXPECT_THAT(warnings(MakeCertificate(form), false), ElementsAre(HasSubstr("not valid before 2026-12-02")));
  EXPECT_THAT(warnings(MakeCertificate("a.example"), true), ElementsAre(HasSubstr("not a CA")));
  EXPECT_THAT(warnings(MakeCertificate("a.example"), false), IsEmpty());

  const EvpPkeyPtr small(EVP_RSA_gen(1024));
  const X509Ptr weak(X509_dup(MakeCertificate("weak.example").x509()));
  X509_set_pubkey(weak.get(), small.get());
  ASSERT_GT(X509_sign(weak.get(), small.get(), EVP_sha1()), 0);
  ASSERT_OK_AND_ASSIGN(const Certificate weak_certificate, Certificate::FromX509(weak.get()));
  EXPECT_THAT(warnings(weak_certificate, false),
              ElementsAre(HasSubstr("shorter than 2048 bits"), HasSubstr("signed with SHA-1")));
}

// Distinct certificates in the number of a large site, with one key.
std::vector<Certificate> ManyCertificates(int count) {
  std::vector<Certificate> certificates;
  certificates.reserve(count);
  for (int i = 0; i < count; ++i) certificates.push_back(MakeCertificate(fmt::format("server{}.example", i)));
  return certificates;
}

TEST_F(TrustImportTest, TwentyThousandAtOnceAreAllOrNothing) {
  constexpr int kMany = 20'000;
  const std::vector<Certificate> certificates = ManyCertificates(kMany);
  std::vector<ImportCandidate> candidates;
  for (const Certificate& certificate : certificates) {
    candidates.push_back({std::string(AsText(certificate.der())), fmt::format("all.pem, {}", candidates.size() + 1)});
  }
  candidates.push_back({"not a certificate", "all.pem, the last"});
  EXPECT_THAT(ImportBytes(candidates, kAppServer),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("all.pem, the last")));
  EXPECT_EQ(Count("SELECT count(*) FROM certificate"), 0);
  EXPECT_EQ(TrustCommit(), 0);

  candidates.pop_back();
  ASSERT_OK_AND_ASSIGN(const ImportResult result, ImportBytes(candidates, kAppServer));
  EXPECT_EQ(result.added, kMany);
  EXPECT_EQ(result.commit, 1);
  EXPECT_THAT(result.first, SizeIs(TrustImport::kNamed));
  EXPECT_EQ(Count("SELECT count(*) FROM trust_entry WHERE commit_number = 1"), kMany);
  EXPECT_EQ(Text("SELECT subject FROM audit_event"), "20000 certificates");

  std::vector<std::string> sorted;
  for (const Certificate& certificate : certificates) sorted.emplace_back(AsText(certificate.sha256()));
  std::sort(sorted.begin(), sorted.end());
  std::string joined;
  for (const std::string& fingerprint : sorted) joined += fingerprint;
  EXPECT_THAT(Text("SELECT detail FROM audit_event"), HasSubstr(ToHex(Sha256(AsBytes(joined)))));

  ASSERT_OK_AND_ASSIGN(const ImportResult again, ImportBytes(candidates, kAppServer));
  EXPECT_EQ(again.unchanged, kMany);
  EXPECT_EQ(TrustCommit(), 1);

  // Pages lead through all of them, each once.
  std::optional<Sha256Digest> after;
  std::vector<std::string> listed;
  do {
    ASSERT_OK_AND_ASSIGN(const TrustPage page, TrustStoreReader(*itld_, 1).List({}, after, 1000));
    for (const TrustedCertificate& certificate : page.certificates) listed.emplace_back(AsText(certificate.sha256));
    after = page.last;
  } while (after);
  EXPECT_EQ(listed, sorted);
}

TEST_F(TrustImportTest, WhatIsNotCommittedLeavesNothing) {
  const Certificate certificate = MakeCertificate("server.example");
  {
    ASSERT_OK_AND_ASSIGN(Transaction transaction, Transaction::Begin(*itld_));
    ASSERT_OK_AND_ASSIGN(TrustImport import, TrustImport::Begin(*itld_, caller(), kAppServer, kTestNow));
    const ImportCandidate candidate{std::string(AsText(certificate.der())), "file.pem"};
    ASSERT_OK(import.AddBatch(std::span(&candidate, 1)));
    ASSERT_OK(import.Finish());
  }
  EXPECT_EQ(Count("SELECT count(*) FROM trust_entry"), 0);
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event"), 0);
  // The connection is as good as new.
  EXPECT_OK(Import({certificate}, kAppServer));
}

TEST_F(TrustImportTest, CommitNumbersAreTheOrderOfCommits) {
  ASSERT_OK_AND_ASSIGN(Connection other, database_->Connect("trustline_itld"));
  ASSERT_OK_AND_ASSIGN(Transaction first, Transaction::Begin(other));
  ASSERT_OK_AND_ASSIGN(TrustImport import, TrustImport::Begin(other, caller(), kAppServer, kTestNow));
  const Certificate certificate = MakeCertificate("slow.example");
  const ImportCandidate candidate{std::string(AsText(certificate.der())), "slow.pem"};
  ASSERT_OK(import.AddBatch(std::span(&candidate, 1)));
  // While one import sends, another one comes, finishes and has the lower number.
  ASSERT_OK_AND_ASSIGN(const ImportResult quick, Import({MakeCertificate("quick.example")}, kAppServer));
  ASSERT_OK_AND_ASSIGN(const ImportResult slow, import.Finish());
  ASSERT_OK(first.Commit());
  EXPECT_EQ(quick.commit, 1);
  EXPECT_EQ(slow.commit, 2);
}

}  // namespace
}  // namespace trustline
