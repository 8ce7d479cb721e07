#include "cli/trustctl/csv_table.h"

#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<CsvRow> RowsOf(CsvTable& table) {
  std::vector<CsvRow> rows;
  while (std::optional<CsvRow> row = table.Next()) rows.push_back(*std::move(row));
  return rows;
}

TEST(CsvTableTest, FieldsQuotesAndLines) {
  ASSERT_OK_AND_ASSIGN(CsvTable table, CsvTable::Open("Name, Description ,Site\r\n"
                                                      "a,\"b \"\"c\"\", d\",\r\n"
                                                      "\r\n"
                                                      ",,\n"
                                                      "e,\"two\r\nlines\",\"\"\n"
                                                      "f, g ,h"));
  EXPECT_THAT(table.header(), ElementsAre("Name", "Description", "Site"));
  const std::vector<CsvRow> rows = RowsOf(table);
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].line, 2u);
  EXPECT_THAT(rows[0].fields, ElementsAre("a", "b \"c\", d", ""));
  EXPECT_EQ(rows[1].line, 5u);
  EXPECT_THAT(rows[1].fields, ElementsAre("e", "two\r\nlines", ""));
  EXPECT_EQ(rows[2].line, 7u);
  EXPECT_THAT(rows[2].fields, ElementsAre("f", " g ", "h"));
  for (const CsvRow& row : rows) EXPECT_EQ(row.fault, "");
}

TEST(CsvTableTest, TheSeparatorIsTakenFromTheHeader) {
  for (const auto& [text, first] : std::vector<std::pair<std::string, std::string>>{
           {"a;\"b,c,d\";e\n1,5;2;3\n", "1,5"}, {"a\tb\tc\n1;5\t2\t3\n", "1;5"}, {"a,b,c\n1;5,2,3\n", "1;5"}}) {
    ASSERT_OK_AND_ASSIGN(CsvTable table, CsvTable::Open(text));
    const std::vector<CsvRow> rows = RowsOf(table);
    ASSERT_EQ(rows.size(), 1u) << text;
    EXPECT_THAT(rows[0].fields, ElementsAre(first, "2", "3"));
  }
  ASSERT_OK_AND_ASSIGN(CsvTable one, CsvTable::Open("name\na\n"));
  EXPECT_THAT(RowsOf(one).at(0).fields, ElementsAre("a"));
}

TEST(CsvTableTest, ByteOrderMarkAndBlankLinesBeforeTheHeader) {
  ASSERT_OK_AND_ASSIGN(CsvTable table, CsvTable::Open("\xef\xbb\xbf\r\n\nname;site\na;b\n"));
  EXPECT_THAT(table.header(), ElementsAre("name", "site"));
  const std::vector<CsvRow> rows = RowsOf(table);
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].line, 4u);
  EXPECT_THAT(rows[0].fields, ElementsAre("a", "b"));
}

TEST(CsvTableTest, AFaultConcernsOnlyItsLine) {
  ASSERT_OK_AND_ASSIGN(CsvTable table, CsvTable::Open("name,site\n"
                                                      "a\n"
                                                      "b,c,d\n"
                                                      "e,f\"g\n"
                                                      "h,\"i\"j\n"
                                                      "k,\"open\n"
                                                      "l,m\n"));
  const std::vector<CsvRow> rows = RowsOf(table);
  ASSERT_EQ(rows.size(), 6u);
  for (size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(rows[i].line, i + 2);
  EXPECT_EQ(rows[0].fault, "1 field, but the first line names 2 columns");
  EXPECT_THAT(rows[1].fault, HasSubstr("3 fields"));
  EXPECT_THAT(rows[2].fault, HasSubstr("in the middle of field 2"));
  EXPECT_THAT(rows[3].fault, HasSubstr("follows the closing quotation mark of field 2"));
  EXPECT_THAT(rows[4].fault, HasSubstr("begins field 2 is never closed"));
  EXPECT_EQ(rows[5].fault, "");
  EXPECT_THAT(rows[5].fields, ElementsAre("l", "m"));
}

TEST(CsvTableTest, AnOpenQuotationMarkIsFoundBeforeTheEndOfAGreatFile) {
  std::string text = "name,site\n\"a,b\n";
  for (size_t line = 0; line < 20'000; ++line) text += "c,d\n";
  ASSERT_OK_AND_ASSIGN(CsvTable table, CsvTable::Open(text));
  const std::vector<CsvRow> rows = RowsOf(table);
  ASSERT_EQ(rows.size(), 20'001u);
  EXPECT_THAT(rows[0].fault, AllOf(HasSubstr("64 KB"), HasSubstr("quotation mark")));
  EXPECT_EQ(rows.back().line, 20'002u);
  EXPECT_EQ(rows.back().fault, "");
  const std::string wide = "name,site\n" + std::string(CsvTable::kMaxRowSize + 1, 'x') + ",d\ne,f";
  ASSERT_OK_AND_ASSIGN(CsvTable with_wide, CsvTable::Open(wide));
  const std::vector<CsvRow> wide_rows = RowsOf(with_wide);
  ASSERT_EQ(wide_rows.size(), 2u);
  EXPECT_THAT(wide_rows[0].fault, HasSubstr("64 KB"));
  EXPECT_THAT(wide_rows[1].fields, ElementsAre("e", "f"));
}

TEST(CsvTableTest, WithoutAHeaderThereIsNoTable) {
  for (const std::string_view text : {"", "\n\r\n", "\xef\xbb\xbf"}) {
    EXPECT_THAT(CsvTable::Open(text), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is empty")));
  }
  EXPECT_THAT(CsvTable::Open("na\"me,site\na,b\n"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("names the columns: a quotation mark")));
  EXPECT_THAT(CsvTable::Open(std::string_view("\xff\xfen\0a\0", 6)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("iconv -f UTF-16")));
  EXPECT_THAT(CsvTable::Open(std::string_view("n\0a\0", 4)), StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_OK_AND_ASSIGN(CsvTable only_header, CsvTable::Open("name,site"));
  EXPECT_THAT(RowsOf(only_header), IsEmpty());
}

}  // namespace
}  // namespace trustline
