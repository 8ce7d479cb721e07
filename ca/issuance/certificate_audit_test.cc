#include "ca/issuance/certificate_audit.h"

#include "ca/issuance/issuer_testing.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;

// The audit finds each kind of damage.
TEST_F(IssuerTest, TheAuditFindsDamage) {
  audit_at_end_ = false;
  ASSERT_OK(issuer_->Issue(Order(kPhone, NewPublicKeyInfo())));
  const auto findings = [&] {
    const auto lease = pool_->Acquire();
    const auto audit = AuditCertificates(**lease, 1, absl::UnixEpoch(), [](int64_t) { return absl::OkStatus(); });
    EXPECT_OK(audit);
    return audit.ok() && !audit->findings.empty() ? audit->findings[0] : std::string("none");
  };
  EXPECT_EQ(findings(), "none");
  const auto with = [&](const std::string& damage, const std::string& repair) {
    RunByHand(damage);
    const std::string found = findings();
    RunByHand(repair);
    EXPECT_EQ(findings(), "none");
    return found;
  };
  EXPECT_THAT(with("UPDATE issuance SET device = 'SEP001122334466'", "UPDATE issuance SET device = 'SEP001122334455'"),
              HasSubstr("the subject"));
  EXPECT_THAT(with("UPDATE issuance SET not_after = not_after + interval '1 second'",
                   "UPDATE issuance SET not_after = not_after - interval '1 second'"),
              HasSubstr("the validity"));
  EXPECT_THAT(with("UPDATE issuance SET to_be_signed = to_be_signed || '\\x00'",
                   "UPDATE issuance SET to_be_signed = substr(to_be_signed, 1, length(to_be_signed) - 1)"),
              HasSubstr("not say what was intended"));
  EXPECT_THAT(
      with("UPDATE issuance SET sha256 = public_key_sha256", "UPDATE issuance SET sha256 = sha256(certificate)"),
      HasSubstr("SHA-256"));
  EXPECT_THAT(with("CREATE TABLE kept AS SELECT * FROM issuance; DELETE FROM issuance",
                   "INSERT INTO issuance OVERRIDING SYSTEM VALUE SELECT * FROM kept"),
              HasSubstr("which is not on record"));
  EXPECT_THAT(with("UPDATE issuance SET state = 'abandoned', certificate = NULL, sha256 = NULL, abandoned_at = now()",
                   "DELETE FROM issuance; INSERT INTO issuance OVERRIDING SYSTEM VALUE SELECT * FROM kept"),
              HasSubstr("which is not on record"));
  const std::string flip =
      "UPDATE issuance SET certificate = set_byte(certificate, length(certificate) - 1, "
      "255 - get_byte(certificate, length(certificate) - 1)), sha256 = ";
  EXPECT_THAT(with(flip + "sha256(set_byte(certificate, length(certificate) - 1, 255 - get_byte(certificate, "
                          "length(certificate) - 1)))",
                   "DELETE FROM issuance; INSERT INTO issuance OVERRIDING SYSTEM VALUE SELECT * FROM kept"),
              HasSubstr("does not verify"));

  // Taken back, and the taking back undone by hand.
  ASSERT_OK(RunInTransaction(*pool_, {}, [&](Connection& connection) {
    return Revoker(connection, caller()).RevokeAllOf(kPhone, RevocationReason::kSuperseded, "a test");
  }));
  RunByHand("CREATE TABLE revoked AS SELECT * FROM issuance");
  EXPECT_THAT(with("UPDATE issuance SET state = 'signed', revoked_at = NULL",
                   "DELETE FROM issuance; INSERT INTO issuance OVERRIDING SYSTEM VALUE SELECT * FROM revoked"),
              HasSubstr("on record as good"));
  RunByHand("CREATE TABLE events AS SELECT * FROM audit_event");
  EXPECT_THAT(with("DELETE FROM audit_event WHERE action = 'lsc.revoke'",
                   "INSERT INTO audit_event OVERRIDING SYSTEM VALUE SELECT * FROM events WHERE action = 'lsc.revoke'"),
              HasSubstr("not tell of its revocation"));
  RunByHand("DELETE FROM audit_event");
  EXPECT_THAT(findings(), HasSubstr("audit log does not tell of its issue"));
  // Unless the log's retention took it.
  RunByHand(
      "INSERT INTO audit_checkpoint VALUES (1, sha256(''), 1, now() + interval '1 second', now(), 1, 'test', '', '')");
  EXPECT_EQ(findings(), "none");
}

}  // namespace
}  // namespace trustline
