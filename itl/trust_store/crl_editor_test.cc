#include "itl/trust_store/crl_editor.h"

#include "common/bytes/bytes.h"
#include "common/postgres/transaction.h"
#include "itl/itl_testing.h"
#include "itl/trust_store/trust_store_reader.h"

namespace trustline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class CrlEditorTest : public ItlDatabaseTest {
 protected:
  void SetUp() override {
    ItlDatabaseTest::SetUp();
    ASSERT_OK(Import({authority_.certificate}, {.anchor = true}));
  }

  absl::StatusOr<CrlEdit> Add(const std::string& crl) {
    return RunInTransaction(*itld_, {}, [&](Connection& connection) {
      return CrlEditor(connection, caller()).Add(AsBytes(crl), kTestNow);
    });
  }

  const Party authority_ = MakeSelfSigned(AuthorityForm("Root"));
};

TEST_F(CrlEditorTest, AddsReplacesAndRemoves) {
  ASSERT_OK_AND_ASSIGN(const CrlEdit first, Add(MakeCrl(authority_, {.number = "ff", .revoked = {7, 8}})));
  EXPECT_EQ(first.commit, 2);
  EXPECT_EQ(first.crl.number, "255");
  EXPECT_EQ(first.crl.revoked, 2);
  EXPECT_THAT(first.warnings, IsEmpty());
  EXPECT_EQ(Text("SELECT subject FROM audit_event WHERE action = 'trust.crl.add'"), ToHex(first.crl.sha256));

  ASSERT_OK_AND_ASSIGN(const CrlEdit second, Add(MakeCrl(authority_, {.number = "0100", .revoked = {7}})));
  EXPECT_EQ(second.commit, 3);
  ASSERT_OK_AND_ASSIGN(const std::vector<TrustedCrl> crls, TrustStoreReader(*itld_, 1).ListCrls());
  ASSERT_THAT(crls, SizeIs(1));
  EXPECT_EQ(crls[0].sha256, second.crl.sha256);
  EXPECT_EQ(crls[0].number, "256");
  // Found by the key that signed, although this CRL has no authority key identifier of its own.
  EXPECT_EQ(Text("SELECT encode(authority_key_id, 'hex') FROM trust_crl"),
            ToHex(authority_.certificate.subject_key_id()));
  EXPECT_EQ(crls[0].next_update, kTestNow + absl::Hours(24 * 7));

  ASSERT_OK_AND_ASSIGN(const CrlEdit removed, RunInTransaction(*itld_, {}, [&](Connection& connection) {
                         return CrlEditor(connection, caller()).Remove(PrefixOf(second.crl.sha256));
                       }));
  EXPECT_EQ(removed.commit, 4);
  EXPECT_EQ(Count("SELECT count(*) FROM trust_crl WHERE removed_at IS NOT NULL AND der = '' AND commit_number = 4"), 1);
  EXPECT_THAT(*TrustStoreReader(*itld_, 1).ListCrls(), IsEmpty());
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE action = 'trust.crl.remove'"), 1);
}

TEST_F(CrlEditorTest, TheSameAgainChangesNothing) {
  const std::string crl = MakeCrl(authority_, {.number = "01"});
  ASSERT_OK(Add(crl));
  ASSERT_OK_AND_ASSIGN(const CrlEdit again, Add(crl));
  EXPECT_EQ(again.commit, 0);
  EXPECT_EQ(TrustCommit(), 2);
}

TEST_F(CrlEditorTest, AnOlderOneIsRefused) {
  ASSERT_OK(Add(MakeCrl(authority_, {.this_update = kTestNow - absl::Hours(2), .number = "10"})));
  EXPECT_THAT(Add(MakeCrl(authority_, {.number = "0f"})),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("as new or newer")));
  // The same number with other content could un-revoke.
  EXPECT_THAT(Add(MakeCrl(authority_, {.number = "10"})),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("as new or newer")));
  // Without numbers the time decides.
  EXPECT_THAT(Add(MakeCrl(authority_, {.this_update = kTestNow - absl::Hours(3)})),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("as new or newer")));
  EXPECT_OK(Add(MakeCrl(authority_, {})));
}

TEST_F(CrlEditorTest, TheIssuerMustBeTrustedAndHaveSigned) {
  const Party stranger = MakeSelfSigned(AuthorityForm("Stranger"));
  EXPECT_THAT(Add(MakeCrl(stranger, {})),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("trustctl trust add")));
  const Party impostor = MakeSelfSigned(AuthorityForm("Root"));
  EXPECT_THAT(Add(MakeCrl(impostor, {})),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("has signed this CRL")));
  RunByHand("UPDATE trust_entry SET removed_at = now()");
  EXPECT_THAT(Add(MakeCrl(authority_, {})), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(CrlEditorTest, TimesAreChecked) {
  EXPECT_THAT(Add(MakeCrl(authority_, {.next_update = kTestNow - absl::Minutes(1)})),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("would become invalid")));
  EXPECT_THAT(Add(MakeCrl(authority_, {.this_update = kTestNow + absl::Hours(2)})),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not valid before")));
  ASSERT_OK_AND_ASSIGN(const CrlEdit soon, Add(MakeCrl(authority_, {.next_update = kTestNow + absl::Hours(1)})));
  EXPECT_THAT(soon.warnings, ElementsAre(HasSubstr("due on 2026-12-01T01:00:00Z")));
  ASSERT_OK_AND_ASSIGN(const CrlEdit open_ended,
                       Add(MakeCrl(authority_, {.this_update = kTestNow, .next_update = std::nullopt})));
  EXPECT_THAT(open_ended.warnings, ElementsAre(HasSubstr("no next update")));
}

TEST_F(CrlEditorTest, WhatIsNotACrlIsRefused) {
  const std::string crl = MakeCrl(authority_, {});
  EXPECT_THAT(Add("junk"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Add(crl + "x"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Add(std::string(kMaxImportedCrlSize + 1, 'x')),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("16777217 bytes")));
  EXPECT_THAT(Add(MakeCrl(authority_, {.number = std::string(42, '1')})),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("20 bytes")));
  EXPECT_EQ(TrustCommit(), 1);
}

// A whole fleet revoked at once must not keep the trust store locked. Well under a second on an idle core.
TEST_F(CrlEditorTest, AHundredThousandEntriesAreQuick) {
  const std::string crl = MakeLargeCrl(authority_, 100'000);
  const absl::Time begin = absl::Now();
  ASSERT_OK_AND_ASSIGN(const CrlEdit edit, Add(crl));
  const absl::Duration taken = absl::Now() - begin;
  RecordProperty("milliseconds", static_cast<int>(absl::ToInt64Milliseconds(taken)));
  RecordProperty("bytes", static_cast<int>(crl.size()));
  EXPECT_EQ(edit.crl.revoked, 100'000);
  EXPECT_LT(taken, absl::Seconds(5));
}

}  // namespace
}  // namespace trustline
