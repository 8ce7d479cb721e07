#include "cli/trustctl/output.h"

#include <boost/json/parse.hpp>
#include <sstream>

#include "cli/trustctl/escaping.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const absl::Time kTime = absl::FromUnixMillis(1'795'377'060'123);  // 2026-11-22T19:51:00.123Z

std::vector<Column> Columns() {
  return {{"name", "NAME"},
          {"count", "COUNT"},
          {"sha256", "FINGERPRINT"},
          {"ttl_seconds", "TTL"},
          {"added_at", "ADDED", false}};
}

Row ExampleRow(std::string name, int64_t count) {
  return {std::move(name), count, Fingerprint{std::string(32, '\xab')}, absl::Hours(24), kTime};
}

std::string Render(OutputFormat format, const std::vector<Row>& rows, const std::vector<Column>& columns = Columns()) {
  std::ostringstream out;
  ListWriter writer(out, format, columns, "no things");
  for (const Row& row : rows) writer.Add(row);
  writer.Finish();
  return out.str();
}

TEST(OutputTest, TablesAreAlignedByContent) {
  EXPECT_EQ(Render(OutputFormat::kTable, {ExampleRow("a", 7), ExampleRow("Zürich", 1234)}),
            "NAME    COUNT  FINGERPRINT       TTL\n"
            "a           7  abababababababab  1d\n"
            "Zürich   1234  abababababababab  1d\n");
  EXPECT_EQ(Render(OutputFormat::kTable, {}), "(no things)\n");
}

TEST(OutputTest, JsonIsOneDocument) {
  const boost::json::value list =
      boost::json::parse(Render(OutputFormat::kJson, {ExampleRow("a \"quoted\"\\\n\x1b[31m", 7), ExampleRow("b", -1)}));
  ASSERT_EQ(list.as_array().size(), 2u);
  const boost::json::object& first = list.at(0).as_object();
  EXPECT_EQ(first.at("name"), "a \"quoted\"\\\n\x1b[31m");
  EXPECT_EQ(first.at("count"), 7);
  EXPECT_EQ(first.at("sha256").as_string().size(), 64u);
  EXPECT_EQ(first.at("ttl_seconds"), 86400);
  EXPECT_EQ(first.at("added_at"), "2026-11-22T19:51:00.123Z");
  EXPECT_TRUE(boost::json::parse(Render(OutputFormat::kJson, {})).as_array().empty());
}

TEST(OutputTest, CsvQuotesAsRfc4180AndHasOneLineForEachRecord) {
  const std::vector<Column> columns = {{"text", "TEXT"}, {"list", "LIST"}, {"nothing", "NOTHING"}};
  EXPECT_EQ(
      Render(OutputFormat::kCsv,
             {{"CN=a, \"b\"", std::vector<std::string>{"CCM", "TFTP"}, std::monostate()}, {"two\r\nlines"}}, columns),
      "text,list,nothing\r\n"
      "\"CN=a, \"\"b\"\"\",CCM TFTP,\r\n"
      "two\\x0d\\x0alines,,\r\n");
  EXPECT_EQ(Render(OutputFormat::kCsv, {}, columns), "text,list,nothing\r\n");
}

TEST(OutputTest, NothingFromOutsideDrivesTheTerminal) {
  // ESC, BEL, C1 CSI in UTF-8 and as a bare byte, right-to-left override, overlong slash, surrogate, truncated
  // sequence.
  const std::string hostile = "a\x1b[2J\x07\xc2\x9b\x9b\xe2\x80\xae\xc0\xaf\xed\xa0\x80\xe2\x82";
  EXPECT_EQ(EscapeForTerminal(hostile), "a\\x1b[2J\\x07\\u{009b}\\x9b\\u{202e}\\xc0\\xaf\\xed\\xa0\\x80\\xe2\\x82");
  EXPECT_EQ(EscapeForTerminal("Grüße, 漢字 😀"), "Grüße, 漢字 😀");
  EXPECT_EQ(EscapeForTerminal("a\nb"), "a\\x0ab");
  EXPECT_EQ(EscapeLinesForTerminal("a\nb\r"), "a\nb\\x0d");
  for (const OutputFormat format : {OutputFormat::kTable, OutputFormat::kJson, OutputFormat::kCsv}) {
    const std::string text = Render(format, {{hostile}}, {{"name", "NAME"}});
    for (const std::string_view bad : {"\x1b", "\x07", "\xc2\x9b", "\x9b", "\xe2\x80\xae"}) {
      EXPECT_THAT(text, Not(HasSubstr(std::string(bad))));
    }
  }
  EXPECT_EQ(boost::json::parse(JsonString("\xc2\x9b\xe2\x80\xae")), "\xc2\x9b\xe2\x80\xae");
}

TEST(OutputTest, JsonInsideIsEmbeddedOnlyWhenItIsJson) {
  const std::vector<Column> columns = {{"detail", "DETAIL"}};
  EXPECT_EQ(Render(OutputFormat::kJson, {{JsonText{"{\"a\":\n1}"}}}, columns), "[\n {\"detail\":{\"a\": 1}}\n]\n");
  for (const std::string bad : {"", "{'a':1}", "{\"a\":1},\"b\":{}", "{\"a\":1}}"}) {
    const boost::json::value list = boost::json::parse(Render(OutputFormat::kJson, {{JsonText{bad}}}, columns));
    EXPECT_EQ(std::string(list.at(0).at("detail").as_string()), bad);
  }
  EXPECT_EQ(JsonLine(columns, {JsonText{"{}"}}), "{\"detail\":{}}\n");
}

TEST(OutputTest, LongTablesAreWrittenBeforeTheyEnd) {
  std::ostringstream out;
  ListWriter writer(out, OutputFormat::kTable, {{"name", "NAME"}, {"count", "COUNT"}});
  for (int64_t i = 0; i < 999; ++i) writer.Add({"row", i});
  EXPECT_EQ(out.str(), "");
  writer.Add({"row", int64_t{999}});
  EXPECT_THAT(out.str(), StartsWith("NAME  COUNT\nrow       0\n"));
  const size_t size = out.str().size();
  writer.Add({"a longer name than any before", int64_t{1000}});
  EXPECT_GT(out.str().size(), size);
  writer.Finish();
  EXPECT_EQ(writer.count(), 1001);
}

Record ExampleRecord() {
  Record record;
  record.Add("commit", "Commit", int64_t{3}).Add("changed", "Changed by it", true);
  record.list = {"entries", {{"role", "ROLE"}, {"ttl_seconds", "TTL"}}, {}};
  record.list->rows.push_back({"CCM", absl::Hours(1)});
  record.list->rows.push_back({"TFTP", std::monostate()});
  return record;
}

TEST(OutputTest, RecordsHaveTheirListInside) {
  std::ostringstream table;
  WriteRecord(table, OutputFormat::kTable, ExampleRecord());
  EXPECT_EQ(table.str(),
            "Commit         3\n"
            "Changed by it  yes\n"
            "\n"
            "ROLE  TTL\n"
            "CCM   1h\n"
            "TFTP  -\n");
  std::ostringstream json;
  WriteRecord(json, OutputFormat::kJson, ExampleRecord());
  const boost::json::value record = boost::json::parse(json.str());
  EXPECT_EQ(record.at("commit"), 3);
  EXPECT_EQ(record.at("entries").at(0).at("ttl_seconds"), 3600);
  EXPECT_TRUE(record.at("entries").at(1).at("ttl_seconds").is_null());
  std::ostringstream csv;
  WriteRecord(csv, OutputFormat::kCsv, ExampleRecord());
  EXPECT_EQ(csv.str(), "commit,changed,role,ttl_seconds\r\n3,true,CCM,3600\r\n3,true,TFTP,\r\n");
}

TEST(OutputTest, ResultsAreASentenceForPeople) {
  std::ostringstream table;
  WriteResult(table, OutputFormat::kTable, "changed it", ExampleRecord());
  EXPECT_EQ(table.str(), "changed it\nROLE  TTL\nCCM   1h\nTFTP  -\n");
  Record without_rows;
  without_rows.Add("commit", "Commit", int64_t{0});
  without_rows.list = {"entries", {{"role", "ROLE"}}, {}};
  std::ostringstream json;
  WriteResult(json, OutputFormat::kJson, "nothing changed", without_rows);
  EXPECT_TRUE(boost::json::parse(json.str()).at("entries").as_array().empty());
  std::ostringstream csv;
  WriteResult(csv, OutputFormat::kCsv, "nothing changed", without_rows);
  EXPECT_EQ(csv.str(), "commit,role\r\n0,\r\n");
}

TEST(OutputTest, RecordsMayHaveSeveralLists) {
  Record record = ExampleRecord();
  record.more_lists = {{"nothing", {{"none", "NONE"}}, {}}, {"locks", {{"address", "FROM"}}, {{"192.0.2.7"}}}};
  std::ostringstream table;
  WriteRecord(table, OutputFormat::kTable, record);
  EXPECT_THAT(table.str(), EndsWith("TFTP  -\n\nFROM\n192.0.2.7\n"));
  std::ostringstream json;
  WriteRecord(json, OutputFormat::kJson, record);
  const boost::json::value read = boost::json::parse(json.str());
  EXPECT_EQ(read.at("entries").as_array().size(), 2u);
  EXPECT_TRUE(read.at("nothing").as_array().empty());
  EXPECT_EQ(read.at("locks").at(0).at("address"), "192.0.2.7");
  std::ostringstream csv;
  WriteRecord(csv, OutputFormat::kCsv, record);
  EXPECT_EQ(csv.str(),
            "commit,changed,role,ttl_seconds,none,address\r\n3,true,CCM,3600,,\r\n3,true,TFTP,,,\r\n"
            "3,true,,,,192.0.2.7\r\n");
}

TEST(OutputTest, AnUnsetTimeIsEmpty) {
  EXPECT_TRUE(std::holds_alternative<std::monostate>(TimeCell(0, 0)));
  EXPECT_EQ(std::get<absl::Time>(TimeCell(1'795'377'060, 123'000'000)), kTime);
}

}  // namespace
}  // namespace trustline
