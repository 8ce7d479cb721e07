// What `trustctl itl diff` says (itl/trust_list/difference.h), on lists of the vectors.
#include <gtest/gtest.h>

#include "cli/trustctl/list_resigning.h"
#include "cli/trustctl/vector_lists_testing.h"
#include "itl/trust_list/difference.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

// What differs after `change`.
template <typename Change>
std::vector<std::string> TextsAfter(Change change) {
  const TrustList before = VectorList("ITLFile-sha1.tlv");
  TrustList after = before;
  change(after);
  std::vector<std::string> texts;
  for (const ListDifference& difference : DifferencesOf(before, after)) texts.push_back(DifferenceText(difference));
  return texts;
}

TEST(ListDifferenceTest, TimestampAndSignatureAreNoDifference) {
  const TrustList list = VectorList("ITLFile-sha1.tlv");
  EXPECT_THAT(DifferencesOf(list, list), IsEmpty());
  ASSERT_OK_AND_ASSIGN(const ResignedList again,
                       SignAnew(list, VectorKey("itlrecovery.pem"), std::nullopt, absl::Now()));
  EXPECT_NE(*list.bytes, again.file);
  EXPECT_THAT(DifferencesOf(list, again.list), IsEmpty());
}

TEST(ListDifferenceTest, RecordsComeAndGo) {
  EXPECT_THAT(TextsAfter([](TrustList& list) { list.records.erase(list.records.begin() + 3); }),
              ElementsAre(StartsWith("removed: TVS CN=cucm-pub.example-tvs")));
  EXPECT_THAT(TextsAfter([](TrustList& list) {
                list.records.push_back(list.records[4]);
                list.records.back().role_code = 7;
              }),
              ElementsAre(StartsWith("added: APP-SERVER CN=CAPF")));
  // Twice the same record is once more than once.
  EXPECT_THAT(TextsAfter([](TrustList& list) { list.records.push_back(list.records[4]); }),
              ElementsAre(StartsWith("added: CAPF CN=CAPF")));
}

TEST(ListDifferenceTest, ACertificateInAnotherRoleAndARenewedOneAreSaidSo) {
  EXPECT_THAT(TextsAfter([](TrustList& list) { list.records[1].role_code = 3; }),
              ElementsAre(AllOf(StartsWith("role: CCM+TFTP CN="), HasSubstr(" -> TFTP CN="))));
  EXPECT_THAT(TextsAfter([](TrustList& list) { list.records[4].role_code = 99; }),
              ElementsAre(HasSubstr("-> unknown role 99 CN=")));
  // The subject of one certificate with the bytes of another: as a renewed one has it.
  EXPECT_THAT(TextsAfter([](TrustList& list) {
                list.records[4].certificate = VectorList("ITLFile-sha1.tlv").records[3].certificate;
              }),
              ElementsAre(StartsWith("added: CAPF CN=cucm-pub.example-tvs"), StartsWith("removed: CAPF CN=CAPF")));
}

TEST(ListDifferenceTest, BlankedAndMovedRecordsAndAddresses) {
  EXPECT_THAT(TextsAfter([](TrustList& list) {
                TrustListRecord blank;
                blank.role_code = list.records[3].role_code;
                list.records[3] = blank;
              }),
              ElementsAre(AllOf(StartsWith("blanked: TVS CN="), HasSubstr(" -> TVS (blank)"))));
  EXPECT_THAT(TextsAfter([](TrustList& list) { std::swap(list.records[3], list.records[4]); }),
              ElementsAre("order: the same records in another order"));
  EXPECT_THAT(TextsAfter([](TrustList& list) { list.records[1].dns_name = "tftp9.example"; }),
              ElementsAre(AllOf(StartsWith("address: CCM+TFTP"), HasSubstr("tftp9.example"))));
  EXPECT_THAT(TextsAfter([](TrustList& list) { list.records[1].dns_name = ""; }), IsEmpty());
  EXPECT_THAT(TextsAfter([](TrustList& list) {
                list.records[1].extra = {{99, "a"}};
              }),
              ElementsAre(AllOf(StartsWith("elements: CCM+TFTP"), HasSubstr("99 61"))));
  const auto blanked = DifferencesOf(VectorList("ITLFile-vendor-form.tlv"), VectorList("ITLFile-blank.tlv"));
  EXPECT_GE(std::ranges::count(blanked, ListDifference::Kind::kBlanked, &ListDifference::kind), 1);
  const auto whole = DifferencesOf(VectorList("ITLFile-blank.tlv"), VectorList("ITLFile-vendor-form.tlv"));
  EXPECT_GE(std::ranges::count(whole, ListDifference::Kind::kUnblanked, &ListDifference::kind), 1);
}

TEST(ListDifferenceTest, WhatTheHeadersSay) {
  EXPECT_THAT(
      TextsAfter([](TrustList& list) {
        list.file.header.digest = DigestAlgorithm::kSha512;
        list.file.header.signer_version.reset();
        list.file.header.file_name = "CTLFile.tlv";
        list.file.header.name_form = NameForm::kVendor;
        list.file.header.extra = {{99, "a"}};
      }),
      ElementsAre("digest: SHA-1 -> SHA-512", "signer-version: 1.0 -> none", "file-name: ITLFile.tlv -> CTLFile.tlv",
                  "name-form: comma -> vendor", "elements: none -> 99 61"));
  EXPECT_THAT(TextsAfter([](TrustList& list) { list.file.header.serial = "\x01"; }),
              ElementsAre(AllOf(StartsWith("signer: CN=itlrecovery"), HasSubstr("which is no SAST record"))));
}

}  // namespace
}  // namespace trustline
