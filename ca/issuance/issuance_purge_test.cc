#include "ca/issuance/issuance_purge.h"

#include <vector>

#include "ca/ca_testing.h"
#include "ca/issuance/certificate_audit.h"
#include "ca/issuance/issuance_list.h"
#include "common/service/time_text.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kPhone[] = "SEP001122334455";
constexpr char kOtherPhone[] = "SEP001122334466";

class IssuancePurgeTest : public CaDatabaseTest {
 protected:
  static absl::Time DaysAgo(int days) { return absl::Now() - days * absl::Hours(24); }

  // A row of a cluster whose certificate ended, and which was revoked or abandoned, so many days ago.
  void Insert(std::string_view device, std::string_view state, int days, std::string_view first_crl_number = "NULL",
              std::string_view cluster = "default") {
    const bool is_signed = state != "intent" && state != "abandoned";
    ++rows_;
    RunByHand(fmt::format(
        "INSERT INTO issuance (cluster_id, authority_id, device, request_id, state, serial, subject, public_key, "
        "public_key_sha256, public_key_info, not_before, not_after, crl_url, to_be_signed, certificate, sha256, "
        "requested_by, revoked_at, revocation_reason, abandoned_at, first_crl_number) SELECT cluster_id, authority_id, "
        "'{0}', '', '{1}', decode('40000000000000{2:02x}', 'hex'), 'CN={0}', 'EC P-256', decode(repeat('11', 32), "
        "'hex'), '\\x30', now() - interval '400 days', now() - {3} * interval '24 hours', '', '\\x30', {4}, {5}, "
        "'test', {6}, {7}, {8}, {9} FROM ca_authority JOIN cluster USING (cluster_id) WHERE name = '{10}'",
        device, state, rows_, days, is_signed ? "'\\x30'::bytea" : "NULL",
        is_signed ? fmt::format("sha256('\\x{:02x}')", rows_) : "NULL", state == "revoked" ? "now()" : "NULL",
        state == "revoked" ? "1" : "NULL",
        state == "abandoned" ? fmt::format("now() - {} * interval '24 hours'", days) : "NULL", first_crl_number,
        cluster));
  }
  void InsertMany(int count, std::string_view state) {
    for (int i = 0; i < count; ++i) Insert(fmt::format("many {}", i), state, 50 - i);
  }

  PurgeOrder EndedBefore(absl::Time expired_before, int64_t batch = 10'000) const {
    return {.caller = caller(), .expired_before = expired_before, .batch = batch};
  }
  absl::StatusOr<PurgeCount> Purge(const PurgeOrder& order) {
    return PurgeIssuances(*pool_, order, [](const PurgeCount&) { return absl::OkStatus(); });
  }
  absl::StatusOr<PurgeCount> CountOnly(absl::Time expired_before) {
    ASSIGN_OR_RETURN(const Pool::Lease lease, pool_->Acquire());
    return CountPurgeable(*lease, 1, expired_before);
  }
  std::vector<std::string> AuditFindings() {
    const auto lease = pool_->Acquire();
    EXPECT_OK(lease);
    const auto audit = AuditCertificates(**lease, 1, absl::UnixEpoch(), [](int64_t) { return absl::OkStatus(); });
    EXPECT_OK(audit);
    return audit.ok() ? audit->findings : std::vector<std::string>();
  }

  std::string Devices() {
    return Text("SELECT coalesce(string_agg(device, ', ' ORDER BY issuance_id), '') FROM issuance");
  }
  // "certificates/requests" of each transaction.
  std::string Purges() {
    return Text(
        "SELECT coalesce(string_agg(certificates || '/' || requests, ' ' ORDER BY purge_number), '') "
        "FROM issuance_purge");
  }

  // A certificate that was issued in truth, and ended so many days ago in row and audit log.
  std::string IssueThatEnded(Issuer& issuer, std::string_view device, int days) {
    const auto issued = issuer.Issue(Order(device, NewPublicKeyInfo()));
    EXPECT_OK(issued);
    if (!issued.ok()) return "";
    const std::string serial = ToHex(issued->certificate.serial());
    const std::string end = TimeTextSeconds(DaysAgo(days));
    RunByHand(fmt::format("UPDATE issuance SET not_after = '{}' WHERE serial = '\\x{}'", end, serial));
    RunByHand(
        fmt::format("UPDATE audit_event SET detail = (detail::jsonb || jsonb_build_object('not_after', '{}'))::text "
                    "WHERE action = 'lsc.issue' AND detail::json ->> 'serial' = '{}'",
                    end, serial));
    return serial;
  }

  int rows_ = 0;
};

TEST_F(IssuancePurgeTest, RemovesWhatIsOverAndNothingElse) {
  RunByHand(
      "INSERT INTO cluster (name) VALUES ('site-2'); INSERT INTO ca_authority (cluster_id, state, key_name, "
      "public_key, public_key_sha256, subject, certificate, created_by) SELECT c.cluster_id, 'prepared', 'other', "
      "a.public_key, decode(repeat('33', 32), 'hex'), a.subject, a.certificate, 'test' FROM ca_authority a, cluster c "
      "WHERE c.name = 'site-2'");
  Insert("signed", "signed", 41);
  Insert("delivered", "delivered", 41);
  Insert("confirmed", "confirmed", 300);
  Insert("revoked, in a CRL", "revoked", 41, "3");
  Insert("abandoned", "abandoned", 41);
  Insert("revoked, in no CRL", "revoked", 41);
  Insert("ended later", "confirmed", 39);
  Insert("revoked, ended later", "revoked", 39, "3");
  Insert("good", "confirmed", -100);
  Insert("open", "intent", 41);
  Insert("abandoned later", "abandoned", 39);
  Insert("of another cluster", "signed", 41, "NULL", "site-2");
  const std::string digest = Text(
      "SELECT encode(sha256(string_agg(sha256, ''::bytea ORDER BY sha256)), 'hex') FROM issuance "
      "WHERE issuance_id <= 4");
  const absl::Time before = DaysAgo(40);

  // A dry run first.
  ASSERT_OK_AND_ASSIGN(const PurgeCount counted, CountOnly(before));
  EXPECT_EQ(counted.certificates, 4);
  EXPECT_EQ(counted.requests, 1);
  EXPECT_EQ(Count("SELECT count(*) FROM issuance"), 12);
  EXPECT_EQ(Purges(), "");
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE action = 'lsc.purge'"), 0);

  ASSERT_OK_AND_ASSIGN(const PurgeCount removed, Purge(EndedBefore(before)));
  EXPECT_EQ(removed.certificates, 4);
  EXPECT_EQ(removed.requests, 1);
  EXPECT_EQ(Devices(),
            "revoked, in no CRL, ended later, revoked, ended later, good, open, abandoned later, of another cluster");

  // What stands for it.
  EXPECT_EQ(Purges(), "4/1");
  EXPECT_EQ(Text("SELECT encode(sha256, 'hex') FROM issuance_purge"), digest);
  EXPECT_EQ(Text("SELECT purged_by FROM issuance_purge"), kTestActor);
  EXPECT_EQ(Count("SELECT count(*) FROM issuance_purge WHERE cluster_id = 1 AND "
                  "last_not_after - first_not_after BETWEEN interval '258 days' AND interval '260 days' AND "
                  "expired_before BETWEEN now() - interval '961 hours' AND now() - interval '959 hours'"),
            1);
  EXPECT_EQ(Text("SELECT actor || ' ' || outcome || ' ' || subject FROM audit_event WHERE action = 'lsc.purge'"),
            fmt::format("{} done certificates that ended before {}", kTestActor, TimeTextSeconds(before)));
  EXPECT_THAT(Text("SELECT detail FROM audit_event WHERE action = 'lsc.purge'"),
              AllOf(HasSubstr("\"certificates\":\"4\""), HasSubstr("\"requests\":\"1\""), HasSubstr(digest)));

  // Said again there is nothing left to record.
  ASSERT_OK_AND_ASSIGN(const PurgeCount again, Purge(EndedBefore(before)));
  EXPECT_EQ(again.certificates + again.requests, 0);
  EXPECT_EQ(Purges(), "4/1");
}

TEST_F(IssuancePurgeTest, WorksInBatches) {
  InsertMany(17, "confirmed");
  InsertMany(6, "abandoned");
  std::vector<int64_t> heard;
  ASSERT_OK_AND_ASSIGN(const PurgeCount removed,
                       PurgeIssuances(*pool_, EndedBefore(DaysAgo(31), 10), [&](const PurgeCount& so_far) {
                         heard.push_back(so_far.certificates + so_far.requests);
                         return absl::OkStatus();
                       }));
  EXPECT_EQ(removed.certificates, 17);
  EXPECT_EQ(removed.requests, 6);
  EXPECT_THAT(heard, ElementsAre(10, 20));
  EXPECT_EQ(Purges(), "10/0 7/3 0/3");
  EXPECT_EQ(Devices(), "");
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE action = 'lsc.purge'"), 3);
  // The oldest went first.
  EXPECT_EQ(Count("SELECT count(*) FROM issuance_purge a JOIN issuance_purge b ON a.last_not_after < b.first_not_after "
                  "AND a.purge_number < b.purge_number"),
            1);
}

TEST_F(IssuancePurgeTest, GoesOnWhereItWasInterrupted) {
  InsertMany(12, "confirmed");
  const auto interrupted = PurgeIssuances(*pool_, EndedBefore(DaysAgo(31), 5),
                                          [](const PurgeCount&) { return absl::CancelledError("the client went"); });
  EXPECT_THAT(interrupted, StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(Purges(), "5/0");
  EXPECT_EQ(Count("SELECT count(*) FROM issuance"), 7);
  ASSERT_OK_AND_ASSIGN(const PurgeCount rest, Purge(EndedBefore(DaysAgo(31), 5)));
  EXPECT_EQ(rest.certificates, 7);
  EXPECT_EQ(Purges(), "5/0 5/0 2/0");
}

TEST_F(IssuancePurgeTest, RefusesATimeThatIsTooYoung) {
  Insert("ended", "confirmed", 100);
  for (const absl::Time time : {DaysAgo(29), absl::Now(), DaysAgo(-1), absl::InfiniteFuture()}) {
    EXPECT_THAT(Purge(EndedBefore(time)), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("30 days")));
    EXPECT_THAT(CountOnly(time), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("nothing was removed")));
  }
  EXPECT_EQ(Devices(), "ended");
  EXPECT_OK(Purge(EndedBefore(absl::InfinitePast())));
  EXPECT_EQ(Devices(), "ended");
}

TEST_F(IssuancePurgeTest, ARecordThatCannotBeMadeKeepsTheRows) {
  Insert("ended", "confirmed", 100);
  RunByHand("REVOKE INSERT ON issuance_purge FROM trustline_cad");
  EXPECT_FALSE(Purge(EndedBefore(DaysAgo(31))).ok());
  EXPECT_EQ(Devices(), "ended");
}

TEST_F(IssuancePurgeTest, RecordsCannotBeChanged) {
  Insert("ended", "confirmed", 100);
  ASSERT_OK(Purge(EndedBefore(DaysAgo(31))));
  const auto lease = pool_->Acquire();
  ASSERT_OK(lease);
  for (const char* sql : {"DELETE FROM issuance_purge", "UPDATE issuance_purge SET certificates = 0"}) {
    EXPECT_THAT((*lease)->Execute(sql), StatusIs(absl::StatusCode::kPermissionDenied)) << sql;
  }
}

// The certificate authority's audit tells what was purged from what was lost.
TEST_F(IssuancePurgeTest, TheAuditMissesWhatNoPurgeRemoved) {
  Issuer issuer({.public_url = "http://ca.example"}, *pool_, *keys_, clock_);
  IssueThatEnded(issuer, kPhone, 41);
  const auto good = issuer.Issue(Order(kOtherPhone, NewPublicKeyInfo()));
  ASSERT_OK(good);
  ASSERT_OK_AND_ASSIGN(const PurgeCount removed, Purge(EndedBefore(DaysAgo(40))));
  EXPECT_EQ(removed.certificates, 1);
  EXPECT_THAT(AuditFindings(), IsEmpty());

  // One that ended before the time of the purge, but was gone by then.
  const std::string lost = IssueThatEnded(issuer, kPhone, 50);
  RunByHand(fmt::format("DELETE FROM issuance WHERE serial = '\\x{}'", lost));
  EXPECT_THAT(AuditFindings(), ElementsAre(fmt::format("the audit log tells of certificate {} of {}, which is not on "
                                                       "record",
                                                       lost, kPhone)));
  RunByHand("DELETE FROM issuance");
  EXPECT_THAT(AuditFindings(), ElementsAre(HasSubstr(ToHex(good->certificate.serial())), HasSubstr(lost)));
  RunByHand("UPDATE audit_event SET detail = '{}' WHERE action = 'lsc.issue'");
  EXPECT_EQ(AuditFindings().size(), 3u);
}

TEST_F(IssuancePurgeTest, WhatIsNotFoundMayHaveBeenRemoved) {
  const auto lease = pool_->Acquire();
  ASSERT_OK(lease);
  const auto find = [&] { return FindBySerialPrefix(**lease, 1, std::string("\x40\x00", 2)).status(); };
  EXPECT_THAT(find(), StatusIs(absl::StatusCode::kNotFound, Not(HasSubstr("removed"))));
  Insert(kPhone, "confirmed", 100);
  EXPECT_OK(find());
  const absl::Time before = DaysAgo(31);
  ASSERT_OK(Purge(EndedBefore(before)));
  const std::string text = fmt::format("ended before {} were removed", TimeTextSeconds(before));
  EXPECT_THAT(find(), StatusIs(absl::StatusCode::kNotFound, HasSubstr(text)));
  EXPECT_THAT(FindNewestOf(**lease, 1, kPhone), StatusIs(absl::StatusCode::kNotFound, HasSubstr(text)));
}

}  // namespace
}  // namespace trustline
