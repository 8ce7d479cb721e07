#include "cli/trustctl/list_resigning.h"

#include <gtest/gtest.h>

#include "cli/trustctl/vector_lists_testing.h"
#include "itl/trust_list/difference.h"
#include "itl/trust_list/writer.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

const absl::Time kNow = absl::FromCivil(absl::CivilDay(2026, 12, 1), absl::UTCTimeZone());

int SastCount(const TrustList& list) {
  return static_cast<int>(std::ranges::count(list.records, CertificateRole::kSast, &TrustListRecord::role));
}

TEST(ListResigningTest, TheContentStaysAndTheTimeIsNow) {
  for (const std::string name : {"sha1", "sha512", "vendor-form", "blank"}) {
    const TrustList list = VectorList("ITLFile-" + name + ".tlv");
    ASSERT_OK_AND_ASSIGN(const ResignedList same, SignAnew(list, VectorKey("itlrecovery.pem"), std::nullopt, kNow));
    EXPECT_THAT(DifferencesOf(list, same.list), IsEmpty()) << name;
    EXPECT_FALSE(same.took_place_of);
    EXPECT_EQ(same.list.header().timestamp, kNow);
    EXPECT_EQ(same.file, *same.list.bytes);
    ASSERT_OK_AND_ASSIGN(const ResignedList other, SignAnew(list, VectorKey("callmanager.pem"), std::nullopt, kNow));
    const std::vector<ListDifference> differences = DifferencesOf(list, other.list);
    ASSERT_EQ(differences.size(), 1u) << name;
    EXPECT_EQ(differences[0].kind, ListDifference::Kind::kSigner);
  }
}

TEST(ListResigningTest, UnknownElementsOfTheHeaderStay) {
  const TrustList list = VectorList("ITLFile-unknown-tlv.tlv");
  ASSERT_OK_AND_ASSIGN(const ResignedList same, SignAnew(list, VectorKey("itlrecovery.pem"), std::nullopt, kNow));
  EXPECT_THAT(DifferencesOf(list, same.list), IsEmpty());
}

TEST(ListResigningTest, AForeignSignerTakesThePlaceOfTheOneThatIsNotRecovery) {
  const TrustList list = VectorList("ITLFile-sha1.tlv");
  const Sha256Digest recovery = VectorKey("itlrecovery.pem").certificate.sha256();
  const Sha256Digest callmanager = VectorKey("callmanager.pem").certificate.sha256();
  const CertifiedKey foreign = VectorKey("tvs.pem");
  ASSERT_OK_AND_ASSIGN(const ResignedList second, SignAnew(list, foreign, recovery, kNow));
  EXPECT_EQ(second.took_place_of, list.records[2].subject);
  EXPECT_EQ(second.list.records[0].certificate->sha256(), recovery);
  EXPECT_EQ(second.list.records[2].certificate, foreign.certificate);
  EXPECT_EQ(SastCount(second.list), 2);
  ASSERT_OK_AND_ASSIGN(const ResignedList first, SignAnew(list, foreign, callmanager, kNow));
  EXPECT_EQ(first.list.records[0].certificate, foreign.certificate);
  EXPECT_EQ(first.list.records[2].certificate->sha256(), callmanager);
}

TEST(ListResigningTest, AForeignSignerBecomesTheSecondSastOfAListWithOne) {
  TrustList list = VectorList("ITLFile-sha1.tlv");
  list.records.erase(list.records.begin() + 2);
  ASSERT_OK_AND_ASSIGN(const ResignedList resigned, SignAnew(list, VectorKey("tvs.pem"), std::nullopt, kNow));
  EXPECT_EQ(resigned.took_place_of, "");
  EXPECT_EQ(SastCount(resigned.list), 2);
  EXPECT_EQ(resigned.list.records[1].certificate, VectorKey("tvs.pem").certificate);
  EXPECT_EQ(resigned.list.records.size(), list.records.size() + 1);
}

TEST(ListResigningTest, WhatCannotBeWrittenAsItIsIsRefused) {
  const CertifiedKey key = VectorKey("itlrecovery.pem");
  const auto refusal = [&key](auto change) {
    TrustList list = VectorList("ITLFile-sha1.tlv");
    change(list);
    return std::string(StatusMessage(SignAnew(list, key, std::nullopt, kNow).status()));
  };
  EXPECT_THAT(refusal([](TrustList& list) { list.records[3].role_code = 99; }), HasSubstr("record 4: it has a role"));
  EXPECT_THAT(refusal([](TrustList& list) {
                list.records[1].extra = {{200, "a"}};
              }),
              HasSubstr("record 2: it has an el"));
  EXPECT_THAT(refusal([](TrustList& list) {
                list.records[1].certificate.reset();
                list.records[1].certificate_hash = "abc";
              }),
              HasSubstr("a hash instead of a certificate"));
  EXPECT_THAT(refusal([](TrustList& list) {
                list.records.erase(list.records.begin() + 2);
                list.records.erase(list.records.begin());
              }),
              HasSubstr("no SAST record"));
  EXPECT_THAT(refusal([](TrustList& list) {
                for (int i = 0; i < 60; ++i) list.records.push_back(list.records[1]);
              }),
              HasSubstr("phones fail to load more than 65536"));
  // Phones know RSA signers only.
  EXPECT_FALSE(SignAnew(VectorList("ITLFile-sha1.tlv"), VectorKey("appserver-ec.pem"), std::nullopt, kNow).ok());
}

}  // namespace
}  // namespace trustline
