#include "itl/trust_store/authority_editor.h"

#include "common/bytes/bytes.h"
#include "common/postgres/transaction.h"
#include "itl/itl_testing.h"
#include "itl/trust_store/crl_editor.h"
#include "itl/trust_store/trust_editor.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

class AuthorityEditorTest : public ItlDatabaseTest {
 protected:
  absl::StatusOr<int64_t> Add(const Certificate& certificate) { return AddDer(certificate.der()); }
  absl::StatusOr<int64_t> AddDer(ByteView der) {
    return RunInTransaction(
        *itld_, {}, [&](Connection& connection) { return AuthorityEditor(connection, cad_).Add(der, kTestNow); });
  }
  absl::StatusOr<int64_t> Remove(const Certificate& certificate) {
    return RunInTransaction(*itld_, {}, [&](Connection& connection) {
      return AuthorityEditor(connection, cad_).Remove(certificate.sha256());
    });
  }
  absl::Status RemoveByAdministrator(const Certificate& certificate) {
    return RunInTransaction(*itld_, {},
                            [&](Connection& connection) {
                              return TrustEditor(connection, caller()).Remove(PrefixOf(certificate.sha256()));
                            })
        .status();
  }
  absl::Status AddCrl(const Party& issuer, std::string number) {
    const std::string crl = MakeCrl(issuer, {.number = std::move(number), .revoked = {7}});
    return RunInTransaction(
               *itld_, {},
               [&](Connection& connection) { return CrlEditor(connection, cad_).Add(AsBytes(crl), kTestNow); })
        .status();
  }
  // "role:ttl:anchor:origin", live entries only.
  std::string Entries() {
    return Text(
        "SELECT coalesce(string_agg(role || ':' || ttl_seconds || ':' || anchor || ':' || origin, ' ' ORDER BY role), "
        "'') FROM trust_entry WHERE removed_at IS NULL");
  }
  int64_t LiveCrls() { return Count("SELECT count(*) FROM trust_crl WHERE removed_at IS NULL"); }

  const TrustStoreCaller cad_ = {1, "default", "trustline:default/cad/node1"};
  const Party authority_ = MakeSelfSigned(AuthorityForm("Devices"));
};

TEST_F(AuthorityEditorTest, AnAuthorityBecomesAnAnchorWithoutARole) {
  EXPECT_THAT(Add(authority_.certificate), IsOkAndHolds(1));
  EXPECT_EQ(Entries(), "-1:86400:true:system");
  EXPECT_EQ(Text("SELECT added_by FROM trust_entry"), cad_.actor);
  EXPECT_EQ(Text("SELECT actor || ' ' || subject FROM audit_event WHERE action = 'trust.add'"),
            cad_.actor + " " + ToHex(authority_.certificate.sha256()));
  EXPECT_THAT(Text("SELECT detail FROM audit_event"),
              AllOf(HasSubstr(R"("origin":"system")"), HasSubstr(R"("commit":"1")")));

  EXPECT_THAT(Add(authority_.certificate), IsOkAndHolds(0));
  EXPECT_EQ(TrustCommit(), 1);
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event"), 1);
}

TEST_F(AuthorityEditorTest, WhatAnAdministratorRemovedIsThereAgain) {
  ASSERT_OK(Add(authority_.certificate));
  ASSERT_OK(RemoveByAdministrator(authority_.certificate));
  EXPECT_EQ(Entries(), "");
  EXPECT_THAT(Add(authority_.certificate), IsOkAndHolds(3));
  EXPECT_EQ(Entries(), "-1:86400:true:system");
}

TEST_F(AuthorityEditorTest, AnAdministratorsAnchorIsLeftAsItIs) {
  ASSERT_OK(Import({authority_.certificate}, {.ttl = absl::Hours(1), .anchor = true}));
  EXPECT_THAT(Add(authority_.certificate), IsOkAndHolds(0));
  ASSERT_OK(AddCrl(authority_, "01"));
  EXPECT_THAT(Remove(authority_.certificate), IsOkAndHolds(0));
  EXPECT_EQ(Entries(), "-1:3600:true:import");
  EXPECT_EQ(LiveCrls(), 1);
}

TEST_F(AuthorityEditorTest, RefusesWhatIsNoAuthority) {
  EXPECT_THAT(AddDer(AsBytes("junk")), StatusIs(kInvalid));
  EXPECT_THAT(Add(MakeSelfSigned(LeafForm("leaf")).certificate), StatusIs(kInvalid, HasSubstr("CA:TRUE")));
  CertificateTemplate form = AuthorityForm("Signs CRLs only");
  form.key_usage = {"cRLSign"};
  EXPECT_THAT(Add(MakeSelfSigned(form).certificate), StatusIs(kInvalid, HasSubstr("keyCertSign")));
  form.key_usage = {};
  EXPECT_THAT(Add(MakeSelfSigned(form).certificate), StatusIs(kInvalid, HasSubstr("keyCertSign")));
  form = AuthorityForm("Expired");
  form.not_before = kTestNow - absl::Hours(48);
  form.not_after = kTestNow - absl::Hours(1);
  EXPECT_THAT(Add(MakeSelfSigned(form).certificate), StatusIs(kInvalid, HasSubstr("expired")));
  form = AuthorityForm("Nul");
  form.dns_names = {"devices.example"};
  const std::string forged =
      WithReplaced(MakeSelfSigned(form).certificate.der(), "devices.example", std::string("devices\0example", 15));
  EXPECT_THAT(AddDer(AsBytes(forged)), StatusIs(kInvalid, HasSubstr("NUL")));
  EXPECT_EQ(TrustCommit(), 0);

  form = AuthorityForm("Begins tomorrow");
  form.not_before = kTestNow + absl::Hours(24);
  EXPECT_THAT(Add(MakeSelfSigned(form).certificate), IsOkAndHolds(1));
}

TEST_F(AuthorityEditorTest, IsTakenBackWithItsCrl) {
  ASSERT_OK(Add(authority_.certificate));
  ASSERT_OK(AddCrl(authority_, "01"));
  EXPECT_THAT(Remove(authority_.certificate), IsOkAndHolds(3));
  EXPECT_EQ(Entries(), "");
  EXPECT_EQ(Count("SELECT count(*) FROM trust_crl WHERE removed_at IS NOT NULL AND der = '' AND commit_number = 3"), 1);
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE action IN ('trust.remove', 'trust.crl.remove')"), 2);
  EXPECT_EQ(Text("SELECT removed_by FROM trust_entry"), cad_.actor);

  EXPECT_THAT(Remove(authority_.certificate), IsOkAndHolds(0));
  EXPECT_THAT(Remove(MakeCertificate("never.example")), IsOkAndHolds(0));
  EXPECT_EQ(TrustCommit(), 3);
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE action IN ('trust.remove', 'trust.crl.remove')"), 2);
}

TEST_F(AuthorityEditorTest, OnlyTheEntryWithoutARoleIsTakenBack) {
  ASSERT_OK(Add(authority_.certificate));
  ASSERT_OK(Import({authority_.certificate}, {.roles = {CertificateRole::kCapf}}));
  ASSERT_OK(AddCrl(authority_, "01"));
  EXPECT_THAT(Remove(authority_.certificate), IsOkAndHolds(4));
  EXPECT_EQ(Entries(), "4:86400:false:import");
  // Still trusted, so that its CRL still counts.
  EXPECT_EQ(LiveCrls(), 1);
}

TEST_F(AuthorityEditorTest, TheCrlStaysWithAnotherCertificateOfNameAndKey) {
  CertificateTemplate form = AuthorityForm("Devices");
  form.not_after = kTestNow + absl::Hours(24);
  const Certificate renewed = *BuildSelfSigned(form, authority_.key);
  ASSERT_NE(renewed.sha256(), authority_.certificate.sha256());
  ASSERT_OK(Add(authority_.certificate));
  ASSERT_OK(Add(renewed));
  ASSERT_OK(AddCrl(authority_, "01"));
  ASSERT_OK(Remove(authority_.certificate));
  EXPECT_EQ(LiveCrls(), 1);
  ASSERT_OK(Remove(renewed));
  EXPECT_EQ(LiveCrls(), 0);
}

TEST_F(AuthorityEditorTest, TheCrlOfANamesakeStays) {
  const Party namesake = MakeSelfSigned(AuthorityForm("Devices"));
  ASSERT_OK(Add(authority_.certificate));
  ASSERT_OK(Add(namesake.certificate));
  ASSERT_OK(AddCrl(authority_, "01"));
  ASSERT_OK(AddCrl(namesake, "01"));
  ASSERT_EQ(LiveCrls(), 2);
  ASSERT_OK(Remove(authority_.certificate));
  EXPECT_EQ(Text("SELECT encode(authority_key_id, 'hex') FROM trust_crl WHERE removed_at IS NULL"),
            ToHex(namesake.certificate.subject_key_id()));
}

TEST_F(AuthorityEditorTest, ACrlThatAnAdministratorsRemovalLeftGoes) {
  ASSERT_OK(Add(authority_.certificate));
  ASSERT_OK(AddCrl(authority_, "01"));
  ASSERT_OK(RemoveByAdministrator(authority_.certificate));
  ASSERT_EQ(LiveCrls(), 1);
  EXPECT_THAT(Remove(authority_.certificate), IsOkAndHolds(4));
  EXPECT_EQ(LiveCrls(), 0);
}

TEST_F(AuthorityEditorTest, AnotherClusterIsNotTouched) {
  RunByHand("INSERT INTO cluster (name) VALUES ('other')");
  const TrustStoreCaller other = {2, "other", cad_.actor};
  ASSERT_OK(RunInTransaction(*itld_, {}, [&](Connection& connection) {
    return AuthorityEditor(connection, other).Add(authority_.certificate.der(), kTestNow);
  }));
  EXPECT_THAT(Remove(authority_.certificate), IsOkAndHolds(0));
  EXPECT_EQ(Entries(), "-1:86400:true:system");
}

}  // namespace
}  // namespace trustline
