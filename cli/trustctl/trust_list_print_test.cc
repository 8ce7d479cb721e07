#include "cli/trustctl/trust_list_print.h"

#include <gtest/gtest.h>

#include "cli/trustctl/trust_list_elements.h"
#include "cli/trustctl/vector_lists_testing.h"
#include "common/status/status.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// Element by element, in the place of `record`: tag, length and value behind each other, at the end of the list.
void Append(TrustList& list, TrustListRecord& record, uint8_t tag, const std::string& value) {
  std::string bytes = *list.bytes;
  record.places.push_back({tag, static_cast<uint16_t>(value.size()), bytes.size()});
  bytes += static_cast<char>(tag);
  bytes += static_cast<char>(value.size() >> 8);
  bytes += static_cast<char>(value.size() & 0xFF);
  bytes += value;
  list.bytes = std::make_shared<const std::string>(std::move(bytes));
  list.file.whole = AsBytes(*list.bytes);
}

TEST(TrustListPrintTest, IsTheVendorsLayoutByteForByte) {
  for (const std::string name : {"sha1", "sha512", "vendor-form", "blank", "unknown-tlv"}) {
    const TrustList list = VectorList("ITLFile-" + name + ".tlv");
    EXPECT_EQ(TrustListPrint(list, "ITL", VerifyTrustList(list).status()),
              ReadVectorFile("ITLFile-" + name + ".show.txt"))
        << name;
  }
}

TEST(TrustListPrintTest, ACtlSaysSoWhereverAnItlDoes) {
  const std::string print = TrustListPrint(VectorList("ITLFile-sha1.tlv"), "CTL", absl::OkStatus());
  EXPECT_THAT(print,
              AllOf(StartsWith("The checksum value of the CTL file:\n"), HasSubstr("\nLength of CTL file: 8261\n"),
                    HasSubstr("\nThe CTL File was last modified on "), HasSubstr("        Parse CTL File\n"),
                    HasSubstr("        CTL Record #:1\n"), HasSubstr("was used to sign the CTL file.\n"),
                    EndsWith("The CTL file was verified successfully.\n")));
  EXPECT_THAT(print, Not(HasSubstr("ITL file")));
}

TEST(TrustListPrintTest, TheReasonStandsInPlaceOfTheLastSentence) {
  EXPECT_THAT(TrustListPrint(VectorList("ITLFile-sha1.tlv"), "ITL", DataLoss("it was changed\x1b[2J")),
              EndsWith("\nThe ITL file could not be verified: it was changed\\x1b[2J\n"));
}

TEST(TrustListPrintTest, WhatTheVendorDoesNotKnowStandsThereAsBytes) {
  TrustList list = VectorList("ITLFile-sha1.tlv");
  TrustListRecord record;
  record.role_code = 99;
  Append(list, record, 1, std::string("\x01\x02", 2));
  Append(list, record, 2, std::string("tftp\x1b[2J\0", 9));
  Append(list, record, 4, std::string("\0\x63", 2));
  Append(list, record, 7, "");
  Append(list, record, 10, std::string("\xC0\x00\x02\x0A", 4));
  Append(list, record, 11, std::string("\xAB\x00\x0C", 3));
  Append(list, record, 12, "\x01");
  Append(list, record, 200, "\x01\xFF");
  list.records.push_back(record);
  const std::string print = TrustListPrint(list, "ITL", absl::OkStatus());
  EXPECT_THAT(print, HasSubstr("        ITL Record #:6\n"
                               "                  ----\n"
                               "BYTEPOS TAG             LENGTH  VALUE\n"
                               "------- ---             ------  -----\n"
                               "1       RECORDLENGTH    2       258\n"
                               "2       DNSNAME         9       tftp\\x1b[2J\n"
                               "4       FUNCTION        2       unknown (99)\n"
                               "7       PUBLICKEY       0\n"
                               "10      IPADDRESS       4\n"
                               "11      CERTIFICATEHASH 3       AB 00 0C (Certificate Hash HEX)\n"
                               "12      HASHALGORITHM   1       01\n"
                               "200     UNKNOWN         2       01 FF\n"
                               "\n"));
}

TEST(TrustListPrintTest, PlacesOutsideOfTheFileAreNotRead) {
  const std::string bytes = "abcdef";
  EXPECT_EQ(AsText(ValueOf(AsBytes(bytes), {.tag = 1, .length = 2, .offset = 0})), "de");
  EXPECT_EQ(AsText(ValueOf(AsBytes(bytes), {.tag = 1, .length = 9, .offset = 1})), "ef");
  EXPECT_EQ(AsText(ValueOf(AsBytes(bytes), {.tag = 1, .length = 2, .offset = 4})), "");
  EXPECT_EQ(AsText(ValueOf(AsBytes(bytes), {.tag = 1, .length = 2, .offset = SIZE_MAX})), "");
}

TEST(TrustListElementsTest, ValuesAreReadByTheirMeaning) {
  const TrustList list = VectorList("ITLFile-vendor-form.tlv");
  std::string text;
  for (const NamedElement& element : HeaderElements(list.file)) text += element.name + "=" + element.value + "\n";
  for (const NamedElement& element : RecordElements(list.records[0], list.file.whole)) {
    text += element.name + "=" + element.value + "\n";
  }
  EXPECT_THAT(text, AllOf(HasSubstr("VERSION=1.2\n"), HasSubstr("DIGESTALGORTITHM=SHA-1\n"), HasSubstr("SIGNERID=\n"),
                          HasSubstr("FILENAME=ITLFile.tlv\n"), HasSubstr("TIMESTAMP=2026-"),
                          HasSubstr("FUNCTION=System Administrator Security Token\n"), HasSubstr("IPADDRESS=")));
}

}  // namespace
}  // namespace trustline
