// cad ended by SIGKILL at each named place of the issuance path: nothing is lost, issued twice, or stuck.
#include <set>

#include "tests/integration/cad_testing.h"

namespace trustline {
namespace {

using ::testing::IsEmpty;

constexpr char kPhone[] = "SEP001122334455";
// In the order of the path (ca/issuance/issuer.cc); the last is of the acknowledgement.
constexpr const char* kFailPoints[] = {"key-checked",      "composed",  "intent-inserting", "intent-inserted",
                                       "intent-committed", "checked",   "signed",           "compared",
                                       "verified",         "storing",   "audited",          "stored",
                                       "before-answer",    "delivering"};
// A new start has resolved everything within this.
constexpr absl::Duration kSweepLimit = absl::Seconds(5);

class CadKillTest : public CadTest, public ::testing::WithParamInterface<const char*> {};

INSTANTIATE_TEST_SUITE_P(Places, CadKillTest, ::testing::ValuesIn(kFailPoints), [](const auto& instance) {
  std::string name;
  for (const char* c = instance.param; *c != '\0'; ++c) {
    if (*c != '-') name += c == instance.param || c[-1] == '-' ? static_cast<char>(toupper(*c)) : *c;
  }
  return name;
});

TEST_P(CadKillTest, NothingIsLostTwiceOrStuck) {
  StartCad();
  ASSERT_OK(site_->MakeAuthority(*cad_, true));
  AddDevice(kPhone);
  AddDevice("SEP0000000000AA");
  ASSERT_OK(Enroll("SEP0000000000AA", NewRequest("SEP0000000000AA")));

  for (int round = 0; round < 2; ++round) {
    SCOPED_TRACE(round);
    // 1. It dies there.
    StartCad({.program = "cad_with_fail_points", .fail_point = GetParam()});
    const std::string request = NewRequest(kPhone);
    const std::string request_id = fmt::format("round-{}", round);
    absl::StatusOr<v1::IssueResponse> issued = Enroll(kPhone, request, request_id, true);
    if (issued.ok()) {
      EXPECT_FALSE(Confirm(issued->certificate().issuance_id()).ok());
    }
    ASSERT_OK(cad_->WaitForEnd());

    // 2. A new start resolves what is open.
    StartCad();
    WaitForCount("SELECT count(*) FROM issuance WHERE state = 'intent'", 0, kSweepLimit);

    // 3. The same request gets one certificate, the one that it had if it had one.
    const absl::StatusOr<v1::IssueResponse> again = Enroll(kPhone, request, request_id, true);
    ASSERT_OK(again);
    if (issued.ok()) {
      EXPECT_EQ(again->der(), issued->der());
    }
    ASSERT_OK(Confirm(again->certificate().issuance_id()));
    EXPECT_EQ(Count(fmt::format("SELECT count(*) FROM issuance WHERE request_id = '{}' AND certificate IS NOT NULL",
                                request_id)),
              1);
    EXPECT_EQ(Count("SELECT count(*) FROM issuance"), Count("SELECT count(DISTINCT serial) FROM issuance"));
    // Every certificate has its row in the audit log, and none has two.
    EXPECT_EQ(Count("SELECT count(*) FROM issuance WHERE certificate IS NOT NULL"),
              Count("SELECT count(*) FROM audit_event WHERE action = 'lsc.issue' AND outcome = 'done'"));
    EXPECT_THAT(AuditFindings(), IsEmpty());
  }
}

}  // namespace
}  // namespace trustline
