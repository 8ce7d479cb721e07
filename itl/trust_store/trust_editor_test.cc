#include "itl/trust_store/trust_editor.h"

#include "common/bytes/bytes.h"
#include "common/postgres/transaction.h"
#include "itl/itl_testing.h"
#include "itl/trust_store/trust_store_reader.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

TEST(FingerprintPrefixTest, IsARangeOfDigests) {
  ASSERT_OK_AND_ASSIGN(const FingerprintPrefix prefix, FingerprintPrefix::Parse("AB:cd:E"));
  EXPECT_EQ(prefix.text(), "abcde");
  EXPECT_EQ(ToHex(prefix.lowest()), "abcde" + std::string(59, '0'));
  EXPECT_EQ(ToHex(prefix.highest()), "abcde" + std::string(59, 'f'));
  EXPECT_OK(FingerprintPrefix::Parse(std::string(64, 'a')));
  for (const std::string& bad : {std::string("abc"), std::string(), std::string(65, 'a'), std::string("abcg"),
                                 std::string("abcd efgh"), std::string("::::")}) {
    EXPECT_THAT(FingerprintPrefix::Parse(bad), StatusIs(absl::StatusCode::kInvalidArgument)) << bad;
  }
}

class TrustEditorTest : public ItlDatabaseTest {
 protected:
  void SetUp() override {
    ItlDatabaseTest::SetUp();
    ASSERT_OK(Import({certificate_}, {.roles = {CertificateRole::kAppServer, CertificateRole::kTftp}}));
  }

  absl::StatusOr<TrustEdit> Set(const TrustChange& change) { return Set(PrefixOf(certificate_.sha256()), change); }
  absl::StatusOr<TrustEdit> Set(const FingerprintPrefix& prefix, const TrustChange& change) {
    return RunInTransaction(
        *itld_, {}, [&](Connection& connection) { return TrustEditor(connection, caller()).Set(prefix, change); });
  }
  absl::StatusOr<TrustEdit> Remove(const FingerprintPrefix& prefix) {
    return RunInTransaction(*itld_, {},
                            [&](Connection& connection) { return TrustEditor(connection, caller()).Remove(prefix); });
  }
  // "role:ttl:anchor", live entries only.
  std::string Entries() {
    return Text(
        "SELECT coalesce(string_agg(role || ':' || ttl_seconds || ':' || anchor, ' ' ORDER BY role), '') "
        "FROM trust_entry WHERE removed_at IS NULL");
  }

  const Certificate certificate_ = MakeCertificate("server.example");
};

TEST_F(TrustEditorTest, ChangesTermsAndRoles) {
  ASSERT_OK_AND_ASSIGN(
      const TrustEdit edit,
      Set({.ttl = absl::Minutes(1), .add_roles = {CertificateRole::kCapf}, .remove_roles = {CertificateRole::kTftp}}));
  EXPECT_EQ(edit.commit, 2);
  EXPECT_EQ(Entries(), "4:60:false 7:60:false");
  EXPECT_THAT(edit.certificate.entries, SizeIs(3));
  EXPECT_EQ(Count("SELECT count(*) FROM trust_entry WHERE commit_number = 2"), 3);
  EXPECT_THAT(
      Text("SELECT detail FROM audit_event WHERE action = 'trust.set'"),
      AllOf(HasSubstr(R"("before":"TFTP 1d, APP-SERVER 1d")"), HasSubstr(R"("after":"CAPF 1m, APP-SERVER 1m")")));

  // A role that comes back is the same row.
  ASSERT_OK(Set({.add_roles = {CertificateRole::kTftp}}));
  EXPECT_EQ(Entries(), "3:60:false 4:60:false 7:60:false");
}

TEST_F(TrustEditorTest, AChangeToWhatIsThereChangesNothing) {
  ASSERT_OK_AND_ASSIGN(const TrustEdit edit, Set({.ttl = absl::Hours(24), .add_roles = {CertificateRole::kTftp}}));
  EXPECT_EQ(edit.commit, 0);
  EXPECT_EQ(TrustCommit(), 1);
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event"), 1);
}

TEST_F(TrustEditorTest, ListsAllRolesAndTakesThemOffAgain) {
  const auto listed = [&] {
    return Text(
        "SELECT string_agg(role || ':' || listed, ' ' ORDER BY role) FROM trust_entry WHERE removed_at IS NULL");
  };
  ASSERT_OK_AND_ASSIGN(const TrustEdit edit, Set({.listed = true}));
  EXPECT_EQ(edit.commit, 2);
  EXPECT_TRUE(edit.certificate.entries.at(0).listed);
  EXPECT_EQ(listed(), "3:true 7:true");
  EXPECT_THAT(Text("SELECT detail FROM audit_event WHERE action = 'trust.set'"),
              AllOf(HasSubstr(R"("before":"TFTP 1d, APP-SERVER 1d")"),
                    HasSubstr(R"("after":"TFTP 1d listed, APP-SERVER 1d listed")")));
  EXPECT_EQ(Set({.listed = true})->commit, 0);
  // Other changes leave it, and an added role is listed as those that are there.
  ASSERT_OK(Set({.ttl = absl::Minutes(1), .add_roles = {CertificateRole::kCapf}}));
  EXPECT_EQ(listed(), "3:true 4:true 7:true");
  ASSERT_OK_AND_ASSIGN(const TrustEdit unlisted, Set({.listed = false}));
  EXPECT_EQ(unlisted.commit, 4);
  EXPECT_EQ(listed(), "3:false 4:false 7:false");
  ASSERT_OK(Set({.add_roles = {CertificateRole::kSast}}));
  EXPECT_EQ(listed(), "0:false 3:false 4:false 7:false");
}

TEST_F(TrustEditorTest, AnAnchorWithoutARoleIsNotListed) {
  ASSERT_OK(Set({.anchor = true, .listed = true}));
  ASSERT_OK(Set({.remove_roles = {CertificateRole::kTftp, CertificateRole::kAppServer}}));
  EXPECT_EQ(Text("SELECT role || ' ' || listed FROM trust_entry WHERE removed_at IS NULL"), "-1 false");
  for (const bool listed : {true, false}) {
    EXPECT_THAT(Set({.listed = listed}),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("anchor without a role")));
  }
  // With a role beside it, that one is listed alone.
  ASSERT_OK(Set({.add_roles = {CertificateRole::kSast}, .listed = true}));
  EXPECT_EQ(Text("SELECT string_agg(role || ':' || listed, ' ' ORDER BY role) FROM trust_entry "
                 "WHERE removed_at IS NULL"),
            "-1:false 0:true");
}

TEST_F(TrustEditorTest, AnAnchorThatLosesItsRolesStaysAnAnchor) {
  ASSERT_OK(Set({.anchor = true}));
  EXPECT_EQ(Entries(), "3:86400:true 7:86400:true");
  ASSERT_OK(Set({.remove_roles = {CertificateRole::kTftp, CertificateRole::kAppServer}}));
  EXPECT_EQ(Entries(), "-1:86400:true");
  EXPECT_THAT(Set({.anchor = false}), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("trust remove")));
  ASSERT_OK(Set({.add_roles = {CertificateRole::kSast}}));
  EXPECT_EQ(Entries(), "-1:86400:true 0:86400:true");
  ASSERT_OK(Set({.anchor = false}));
  EXPECT_EQ(Entries(), "0:86400:false");
}

TEST_F(TrustEditorTest, RefusesWhatContradictsItself) {
  EXPECT_THAT(Set({}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("what to change")));
  EXPECT_THAT(Set({.ttl = absl::Hours(24 * 31)}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Set({.add_roles = {CertificateRole::kTftp}, .remove_roles = {CertificateRole::kTftp}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("TFTP")));
  EXPECT_THAT(Set({.remove_roles = {CertificateRole::kCapf}}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("does not have the role CAPF")));
  EXPECT_THAT(Set({.remove_roles = {CertificateRole::kTftp, CertificateRole::kAppServer}}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("trust remove")));
  EXPECT_EQ(TrustCommit(), 1);
}

TEST_F(TrustEditorTest, RemovesAndRemembers) {
  ASSERT_OK_AND_ASSIGN(const TrustEdit edit, Remove(PrefixOf(certificate_.sha256())));
  EXPECT_EQ(edit.commit, 2);
  ASSERT_THAT(edit.certificate.entries, SizeIs(2));
  EXPECT_EQ(edit.certificate.entries[0].removed_by, kTestActor);
  EXPECT_TRUE(edit.certificate.entries[0].removed_at.has_value());
  EXPECT_EQ(Entries(), "");
  EXPECT_EQ(Text("SELECT subject FROM audit_event WHERE action = 'trust.remove'"), ToHex(certificate_.sha256()));
  EXPECT_THAT(Remove(PrefixOf(certificate_.sha256())), StatusIs(absl::StatusCode::kNotFound, HasSubstr("--removed")));

  TrustStoreReader reader(*itld_, 1);
  EXPECT_THAT(reader.Find(PrefixOf(certificate_.sha256()), false), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_OK(reader.Find(PrefixOf(certificate_.sha256()), true));
  EXPECT_THAT(reader.List({}, std::nullopt, 10)->certificates, SizeIs(0));
  EXPECT_THAT(reader.List({.include_removed = true}, std::nullopt, 10)->certificates, SizeIs(1));
}

TEST_F(TrustEditorTest, AnotherClusterIsNotTouched) {
  RunByHand("INSERT INTO cluster (name) VALUES ('other')");
  RunByHand(
      "INSERT INTO trust_entry (cluster_id, sha256, role, ttl_seconds, anchor, origin, added_by, commit_number) "
      "SELECT 2, sha256, 7, 60, false, 'import', 'x', 1 FROM certificate");
  ASSERT_OK(Remove(PrefixOf(certificate_.sha256())));
  EXPECT_EQ(Count("SELECT count(*) FROM trust_entry WHERE cluster_id = 2 AND removed_at IS NULL"), 1);
  EXPECT_EQ(Count("SELECT trust_commit FROM cluster WHERE cluster_id = 2"), 0);
}

TEST_F(TrustEditorTest, AnAmbiguousPrefixListsFiveMatches) {
  for (int i = 1; i <= 7; ++i) {
    RunByHand(fmt::format(
        "INSERT INTO certificate SELECT decode('abcd' || repeat('0{0}', 30), 'hex'), der, 'CN=twin{0}', issuer, "
        "subject_key, issuer_key, serial, authority_key_id, not_before, not_after, is_ca, public_key FROM certificate "
        "WHERE subject = 'CN=server.example,O=Example'; "
        "INSERT INTO trust_entry (cluster_id, sha256, role, ttl_seconds, anchor, origin, added_by, commit_number) "
        "SELECT 1, sha256, 7, 60, false, 'import', 'x', 1 FROM certificate WHERE subject = 'CN=twin{0}'",
        i));
  }
  ASSERT_OK_AND_ASSIGN(const FingerprintPrefix prefix, FingerprintPrefix::Parse("abcd"));
  EXPECT_THAT(Remove(prefix), StatusIs(absl::StatusCode::kFailedPrecondition,
                                       AllOf(HasSubstr("abcd010101010101 (CN=twin1)"), HasSubstr("CN=twin5"),
                                             ::testing::Not(HasSubstr("CN=twin6")), HasSubstr("more digits"))));
  ASSERT_OK_AND_ASSIGN(const FingerprintPrefix one, FingerprintPrefix::Parse("abcd07"));
  EXPECT_OK(Remove(one));
}

TEST_F(TrustEditorTest, ExportsByRole) {
  const Certificate other = MakeCertificate("other.example");
  ASSERT_OK(Import({other}, {.roles = {CertificateRole::kTvs}}));
  TrustStoreReader reader(*itld_, 1);
  ASSERT_OK_AND_ASSIGN(const auto all, reader.Export({}, std::nullopt, 10));
  EXPECT_THAT(all, SizeIs(2));
  ASSERT_OK_AND_ASSIGN(const auto tvs, reader.Export({CertificateRole::kTvs}, std::nullopt, 10));
  ASSERT_THAT(tvs, SizeIs(1));
  EXPECT_EQ(tvs[0].der, AsText(other.der()));
  ASSERT_OK_AND_ASSIGN(const auto first, reader.Export({}, std::nullopt, 1));
  ASSERT_OK_AND_ASSIGN(const auto second, reader.Export({}, first[0].sha256, 1));
  EXPECT_NE(first[0].sha256, second[0].sha256);
  EXPECT_THAT(*reader.Export({}, second[0].sha256, 1), SizeIs(0));
}

}  // namespace
}  // namespace trustline
