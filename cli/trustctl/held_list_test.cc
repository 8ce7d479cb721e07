#include "cli/trustctl/held_list.h"

#include <gtest/gtest.h>

#include "cli/trustctl/list_resigning.h"
#include "cli/trustctl/vector_lists_testing.h"
#include "common/status/status.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;

// The vector with its records of these roles blanked.
TrustList Blanked(std::initializer_list<CertificateRole> roles) {
  TrustList list = VectorList("ITLFile-sha1.tlv");
  for (TrustListRecord& record : list.records) {
    if (std::ranges::find(roles, record.role()) == roles.end()) continue;
    TrustListRecord blank;
    blank.role_code = record.role_code;
    record = blank;
  }
  return list;
}

TEST(HeldListTest, AListIsBlankWhenNoServerIsLeftOfThoseThatItNamed) {
  EXPECT_FALSE(IsBlankList(VectorList("ITLFile-sha1.tlv")));
  EXPECT_TRUE(IsBlankList(VectorList("ITLFile-blank.tlv")));
  EXPECT_TRUE(IsBlankList(Blanked({CertificateRole::kTvs, CertificateRole::kCcmTftp})));
  EXPECT_FALSE(IsBlankList(Blanked({CertificateRole::kTvs})));
  EXPECT_FALSE(IsBlankList(Blanked({CertificateRole::kCapf})));
  // As the CTL after mixed mode, which names SAST and CAPF alone.
  TrustList without = VectorList("ITLFile-sha1.tlv");
  std::erase_if(without.records, [](const TrustListRecord& record) {
    return record.role() != CertificateRole::kSast && record.role() != CertificateRole::kCapf;
  });
  EXPECT_FALSE(IsBlankList(without));
}

TEST(HeldListTest, APhoneTakesWhatASastOfItsListHasSignedOrAnythingWhenThatIsBlank) {
  const TrustList held = VectorList("ITLFile-sha1.tlv");
  ASSERT_OK_AND_ASSIGN(const Acceptance known, AcceptWhenHeld(held, VectorList("ITLFile-sha512.tlv")));
  EXPECT_EQ(known.signer, VectorKey("itlrecovery.pem").certificate);
  EXPECT_FALSE(known.because_blank);

  const TrustList foreign = SignAnew(held, VectorKey("tvs.pem"), std::nullopt, absl::Now())->list;
  EXPECT_THAT(AcceptWhenHeld(held, foreign), StatusIs(absl::StatusCode::kNotFound, HasSubstr("is the signer CN=")));
  ASSERT_OK_AND_ASSIGN(const Acceptance blank, AcceptWhenHeld(VectorList("ITLFile-blank.tlv"), foreign));
  EXPECT_EQ(blank.signer, VectorKey("tvs.pem").certificate);
  EXPECT_TRUE(blank.because_blank);

  // Named as the signer is not enough.
  TrustList changed = VectorList("ITLFile-sha512.tlv");
  changed.file.header.signature = held.file.header.signature;
  EXPECT_EQ(AcceptWhenHeld(held, changed).status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace trustline
