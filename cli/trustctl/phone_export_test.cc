#include "cli/trustctl/phone_export.h"

#include "common/bytes/bytes.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const absl::Time kWritten = absl::FromUnixSeconds(1'795'000'000);
const std::string kHash = "1BA1C907E99E4D3C539DC81424AF6C9F7DCE4D6D";
const std::string kPairs = "1B A1 C9 07 E9 9E 4D 3C 53 9D C8 14 24 AF 6C 9F 7D CE 4D 6D";

TEST(PhoneExportTest, ReadsTheUsualHeaders) {
  for (const auto& [header, passed_over] : std::vector<std::pair<std::string, std::vector<std::string>>>{
           {"Device Name;ITL Hash;TFTP Server;CTL Hash;CTL TFTP Server;Date;Node", {"Node"}},
           {"\xef\xbb\xbfname;ITL_Signature;ITL_TFTP_Server;CTL_Signature;CTL_TFTP_Server;TIMESTAMP;x", {"x"}},
           {"Device;trust list hash;tftp server;ctl signature;ctl tftp server;Last Report;", {}}}) {
    ASSERT_OK_AND_ASSIGN(const StatusExport statuses,
                         ReadStatusExport(header + "\r\n sep00112233aabb ;\"" + kPairs +
                                              " \";Tftp1.example;not installed;N/A;2026-11-20 08:00;node2\r\n",
                                          kWritten));
    EXPECT_EQ(statuses.columns_passed_over, passed_over);
    EXPECT_THAT(statuses.bad_lines, IsEmpty());
    ASSERT_THAT(statuses.lines, SizeIs(1));
    EXPECT_EQ(statuses.lines[0].line, 2u);
    const v1::SeedHoldingsRequest::Holding& holding = statuses.lines[0].holding;
    EXPECT_EQ(holding.device(), "SEP00112233AABB");
    EXPECT_EQ(holding.itl_signature(), kPairs);
    EXPECT_EQ(holding.itl_tftp_server(), "Tftp1.example");
    EXPECT_EQ(holding.ctl_signature(), "Not Installed");
    EXPECT_EQ(holding.ctl_tftp_server(), "");
    EXPECT_EQ(holding.at().seconds(), 1'795'161'600);
  }
}

TEST(PhoneExportTest, HashesInEachForm) {
  std::string colons;
  for (size_t i = 0; i < kHash.size(); i += 2) colons += (i == 0 ? "" : ":") + kHash.substr(i, 2);
  for (const std::string& form : {kHash, kPairs + " ", colons}) {
    ASSERT_OK_AND_ASSIGN(const StatusExport statuses,
                         ReadStatusExport("Name,ITL Hash\nSEP001122334455," + form + "\n", kWritten));
    ASSERT_THAT(statuses.lines, SizeIs(1)) << form;
    EXPECT_EQ(statuses.lines[0].holding.itl_signature(), kPairs);
    EXPECT_FALSE(statuses.lines[0].holding.ctl_signature().size());
    EXPECT_EQ(statuses.lines[0].holding.at().seconds(), absl::ToUnixSeconds(kWritten)) << "as old as the file";
  }
}

TEST(PhoneExportTest, BadLinesHaveTheirNumbersAndReasons) {
  const std::string text =
      "Name,ITL Hash,TFTP Server,CTL Hash,Time\r\n"
      "SEP001122334455," +
      kHash +
      ",t,,\r\n"  // good
      "SEP00112233445," +
      kHash +
      ",t,,\r\n"  // 3
      "," +
      kHash +
      ",t,,\r\n"  // 4
      "sep001122334455," +
      kHash +
      ",t,,\r\n"  // 5
      "SEP001122334456," +
      kHash.substr(8) +
      ",t,,\r\n"                    // 6
      "SEP001122334457,zz,t,,\r\n"  // 7
      "SEP001122334458,,t,,\r\n"    // 8
      "SEP001122334459," +
      kHash + "," + std::string(256, 'x') +
      ",,\r\n"  // 9
      "SEP00112233445A," +
      kHash +
      ",t,12,\r\n"  // 10
      "SEP00112233445B," +
      kHash +
      ",t,,yesterday\r\n"  // 11
      "SEP00112233445C," +
      kHash +
      ",t,,-5\r\n"           // 12
      "SEP00112233445D\r\n"  // 13
      "SEP00112233445E," +
      kHash +
      ",t,,1795000001\r\n"  // good
      "SEP00112233445F," +
      kHash + ",t,,253402300800\r\n";  // 15
  ASSERT_OK_AND_ASSIGN(const StatusExport statuses, ReadStatusExport(text, kWritten));
  ASSERT_THAT(statuses.lines, SizeIs(2));
  EXPECT_EQ(statuses.lines[1].holding.at().seconds(), 1'795'000'001);
  std::vector<size_t> lines;
  for (const PhoneExport::BadLine& bad : statuses.bad_lines) lines.push_back(bad.line);
  ASSERT_THAT(lines, ElementsAre(3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15));
  EXPECT_THAT(statuses.bad_lines[0].reason, HasSubstr("is not a device name"));
  EXPECT_EQ(statuses.bad_lines[1].reason, "the device has no name");
  EXPECT_EQ(statuses.bad_lines[2].reason, "SEP001122334455 stands in line 2 already");
  EXPECT_EQ(statuses.bad_lines[3].reason, "ITL: a hash of 32 hexadecimal digits: a SHA-1 has 40");
  EXPECT_EQ(statuses.bad_lines[4].reason, "ITL: 'zz' is neither a hash nor \"Not Installed\"");
  EXPECT_THAT(statuses.bad_lines[5].reason, HasSubstr("which ITL"));
  EXPECT_THAT(statuses.bad_lines[6].reason, AllOf(HasSubstr("TFTP server: "), HasSubstr("256 bytes")));
  EXPECT_THAT(statuses.bad_lines[7].reason, HasSubstr("CTL: a hash of 2 "));
  EXPECT_THAT(statuses.bad_lines[8].reason, HasSubstr("yesterday"));
  EXPECT_THAT(statuses.bad_lines[9].reason, HasSubstr("out of range"));
  EXPECT_THAT(statuses.bad_lines[10].reason, HasSubstr("1 field"));
  EXPECT_THAT(statuses.bad_lines[11].reason, HasSubstr("out of range"));
}

TEST(PhoneExportTest, ColumnsThatMustBeThereAreAskedFor) {
  EXPECT_THAT(ReadStatusExport("Phone,ITL Hash\na,b\n", kWritten),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("\"Device Name\""), HasSubstr("the columns are: Phone, ITL Hash"))));
  EXPECT_THAT(ReadStatusExport("Name,Hash\na,b\n", kWritten),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("\"ITL Hash\"")));
  EXPECT_THAT(ReadStatusExport("", kWritten), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("empty")));
}

TEST(PhoneExportTest, AGreatFile) {
  constexpr int kLines = 100'000;
  std::string text = "Device Name,ITL Hash,TFTP Server\n";
  for (int i = 0; i < kLines; ++i) {
    text += fmt::format("SEP{:012X},{},tftp{}.example\n", i, i % 10 == 9 ? "broken" : kPairs, i % 3);
  }
  ASSERT_OK_AND_ASSIGN(const StatusExport statuses, ReadStatusExport(text, kWritten));
  EXPECT_THAT(statuses.lines, SizeIs(kLines * 9 / 10));
  EXPECT_THAT(statuses.bad_lines, SizeIs(kLines / 10));
  EXPECT_EQ(statuses.lines.back().holding.device(), fmt::format("SEP{:012X}", kLines - 2));
  EXPECT_EQ(statuses.bad_lines.back().line, static_cast<size_t>(kLines) + 1);
}

}  // namespace
}  // namespace trustline
