#include "cli/trustctl/device_import.h"

#include "cli/trustctl/device_arguments.h"
#include "cli/trustctl/enumeration_words.h"
#include "common/x509/crl.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

TEST(DeviceImportTest, ReadsTheUsualHeaders) {
  for (const auto& [header, passed_over] : std::vector<std::pair<std::string, std::vector<std::string>>>{
           {"Device Name;Device Type;Protocol;Load;Location;Owner;Description;;Line", {"Line"}},
           {"name;MODEL;device protocol;Device Load;Site;Owner User ID;description;;x y", {"x y"}},
           {"NAME;Product;Protocol;Active Load;Device Pool;Owner;Description;;z", {"z"}},
           {"Name;Product;Protocol;Load Information;device pool;OWNER;Description;;z", {"z"}}}) {
    ASSERT_OK_AND_ASSIGN(
        const PhoneExport phones,
        ReadPhoneExport(header + "\n sep00112233aabb ;Cisco 8841;SIP;sip88xx.14;Berlin;anna;\"Anna; \"\"5\"\"\";;\n"));
    EXPECT_EQ(phones.columns_passed_over, passed_over);
    EXPECT_THAT(phones.bad_lines, IsEmpty());
    ASSERT_EQ(phones.rows.size(), 1u);
    EXPECT_EQ(phones.rows[0].name(), "SEP00112233AABB");
    const v1::DeviceData& data = phones.rows[0].data();
    EXPECT_EQ(data.model(), "Cisco 8841");
    EXPECT_EQ(data.protocol(), "SIP");
    EXPECT_EQ(data.load(), "sip88xx.14");
    EXPECT_EQ(data.site(), "Berlin");
    EXPECT_EQ(data.owner(), "anna");
    EXPECT_EQ(data.description(), "Anna; \"5\"");
  }
}

TEST(DeviceImportTest, OfTwoColumnsForOneDatumTheMoreTellingCounts) {
  ASSERT_OK_AND_ASSIGN(const PhoneExport phones,
                       ReadPhoneExport("Device Pool,Name,Location,Device Name\nDP_1,no,Berlin,SEP001122334455\n"));
  ASSERT_EQ(phones.rows.size(), 1u);
  EXPECT_EQ(phones.rows[0].name(), "SEP001122334455");
  EXPECT_EQ(phones.rows[0].data().site(), "Berlin");
  EXPECT_THAT(phones.columns_passed_over, ElementsAre("Device Pool", "Name"));
}

TEST(DeviceImportTest, WithoutNamesItListsTheHeadersFound) {
  EXPECT_THAT(ReadPhoneExport("Phone,Model\na,b\n"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("\"Device Name\" or \"Name\""), HasSubstr("the columns are: Phone, Model"))));
  EXPECT_THAT(ReadPhoneExport(""), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("empty")));
}

TEST(DeviceImportTest, BadLinesHaveTheirNumbersAndReasons) {
  std::string umlauts;
  for (int i = 0; i < 100; ++i) umlauts += "\xc3\xa4";
  const std::string text =
      "Name,Description\r\n"
      "SEP001122334455,\"first\"\r\n"
      "SEP00112233445,short\r\n"     // 3
      ",nameless\r\n"                // 4
      "sep001122334455,again\r\n"    // 5
      "SEP001122334456,caf\xe9\r\n"  // 6
      "SEP001122334457," +
      std::string(201, 'x') +
      "\r\n"                                  // 7
      "SEP001122334458,\"two\r\nlines\"\r\n"  // 8, 9
      "SEP001122334459\r\n"                   // 10
      "CSFanna," +
      umlauts +
      "\r\n"
      "CSFbob," +
      umlauts + "\xc3\xa4\r\n";  // 12
  ASSERT_OK_AND_ASSIGN(const PhoneExport phones, ReadPhoneExport(text));
  ASSERT_EQ(phones.rows.size(), 2u);
  EXPECT_EQ(phones.rows[0].data().description(), "first");
  EXPECT_EQ(phones.rows[1].name(), "CSFANNA");
  std::vector<size_t> lines;
  for (const PhoneExport::BadLine& bad : phones.bad_lines) lines.push_back(bad.line);
  ASSERT_THAT(lines, ElementsAre(3, 4, 5, 6, 7, 8, 10, 12));
  EXPECT_THAT(phones.bad_lines[0].reason, HasSubstr("is not a device name"));
  EXPECT_EQ(phones.bad_lines[1].reason, "the device has no name");
  EXPECT_EQ(phones.bad_lines[2].reason, "SEP001122334455 stands in line 2 already");
  EXPECT_THAT(phones.bad_lines[3].reason, AllOf(HasSubstr("description: "), HasSubstr("not UTF-8")));
  EXPECT_THAT(phones.bad_lines[4].reason, HasSubstr("201 bytes is longer than the maximum of 200"));
  EXPECT_THAT(phones.bad_lines[5].reason, HasSubstr("line break"));
  EXPECT_THAT(phones.bad_lines[6].reason, HasSubstr("1 field"));
  EXPECT_THAT(phones.bad_lines[7].reason, HasSubstr("202 bytes is longer"));
}

TEST(DeviceArgumentsTest, SerialNumbers) {
  EXPECT_THAT(ParseSerial("00:D5:8d:ca"), IsOkAndHolds("d58dca"));
  EXPECT_THAT(ParseSerial("0a1"), IsOkAndHolds("0a1"));
  for (const std::string_view text : {"", "00", "0", "0000", "xyz", "12 34"}) {
    EXPECT_THAT(ParseSerial(text), StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  }
}

TEST(EnumerationWordsTest, ReasonsAreNamedAsInCrls) {
  for (const auto& word : kRevocationReasons) {
    // The message's values are the RFC's, shifted by one.
    EXPECT_EQ(RevocationReasonName(static_cast<RevocationReason>(word.value - 1)), word.text);
    EXPECT_THAT(ParseWord(kRevocationReasons, word.text), IsOkAndHolds(word.value));
  }
  EXPECT_THAT(ParseWord(kRevocationReasons, "KEYCOMPROMISE"),
              IsOkAndHolds(v1::CERTIFICATE_REVOCATION_REASON_KEY_COMPROMISE));
  EXPECT_THAT(ParseWord(kRevocationReasons, "stolen"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("'stolen'"), HasSubstr("unspecified, keyCompromise, cACompromise"))));
}

TEST(EnumerationWordsTest, EveryValueHasAWord) {
  const auto check = [](const auto& words, const google::protobuf::EnumDescriptor& values) {
    for (int i = 0; i < values.value_count(); ++i) {
      const int number = values.value(i)->number();
      using Enum = decltype(words[0].value);
      if (number == 0) continue;
      EXPECT_THAT(WordFor(words, static_cast<std::remove_const_t<Enum>>(number)), Not(HasSubstr("unknown")))
          << values.value(i)->name();
    }
  };
  check(kDeviceStates, *v1::DeviceState_descriptor());
  check(kCertificateStates, *v1::CertificateState_descriptor());
  check(kRevocationReasons, *v1::CertificateRevocationReason_descriptor());
  check(kAuthorityStates, *v1::AuthorityState_descriptor());
  check(kCertificateKeys, *v1::CertificateKey_descriptor());
  check(kClientAuthorityPurposes, *v1::ClientAuthorityPurpose_descriptor());
  EXPECT_EQ(WordFor(kDeviceStates, static_cast<v1::DeviceState>(9)), "unknown (9)");
}

}  // namespace
}  // namespace trustline
