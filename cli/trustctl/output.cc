#include "cli/trustctl/output.h"

#include <algorithm>
#include <boost/json/parse.hpp>

#include "absl/strings/str_join.h"
#include "cli/trustctl/escaping.h"
#include "common/bytes/bytes.h"
#include "common/service/time_text.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr size_t kRowsForWidths = 1000;
constexpr size_t kFingerprintDigitsInTables = 16;

template <typename... Visitors>
struct Overloaded : Visitors... {
  using Visitors::operator()...;
};
template <typename... Visitors>
Overloaded(Visitors...) -> Overloaded<Visitors...>;

bool IsJson(const std::string& text) {
  boost::json::error_code error;
  boost::json::parse(text, error);
  return !error;
}

std::string TableText(const Cell& cell) {
  const std::string text = std::visit(
      Overloaded{
          [](std::monostate) { return std::string("-"); },
          [](bool value) { return std::string(value ? "yes" : "no"); },
          [](int64_t value) { return std::to_string(value); },
          [](const std::string& value) { return value; },
          [](const std::vector<std::string>& values) { return absl::StrJoin(values, ","); },
          [](absl::Time value) { return TimeTextSeconds(value); },
          [](absl::Duration value) { return DurationText(value); },
          [](const Fingerprint& value) { return ToHex(AsBytes(value.bytes)).substr(0, kFingerprintDigitsInTables); },
          [](const JsonText& value) { return value.text; },
      },
      cell);
  return text.empty() ? "-" : EscapeForTerminal(text);
}

std::string JsonValue(const Cell& cell) {
  return std::visit(Overloaded{
                        [](std::monostate) { return std::string("null"); },
                        [](bool value) { return std::string(value ? "true" : "false"); },
                        [](int64_t value) { return std::to_string(value); },
                        [](const std::string& value) { return JsonString(value); },
                        [](const std::vector<std::string>& values) {
                          return "[" +
                                 absl::StrJoin(values, ",",
                                               [](std::string* joined, const std::string& value) {
                                                 joined->append(JsonString(value));
                                               }) +
                                 "]";
                        },
                        [](absl::Time value) { return JsonString(TimeText(value)); },
                        [](absl::Duration value) { return std::to_string(absl::ToInt64Seconds(value)); },
                        [](const Fingerprint& value) { return JsonString(ToHex(AsBytes(value.bytes))); },
                        [](const JsonText& value) {
                          if (!IsJson(value.text)) return JsonString(value.text);
                          // A raw line feed can stand only between the tokens of valid JSON; a record is one line.
                          std::string line = value.text;
                          std::ranges::replace(line, '\n', ' ');
                          std::ranges::replace(line, '\r', ' ');
                          return line;
                        },
                    },
                    cell);
}

std::string CsvText(const Cell& cell) {
  return CsvField(std::visit(Overloaded{
                                 [](std::monostate) { return std::string(); },
                                 [](bool value) { return std::string(value ? "true" : "false"); },
                                 [](int64_t value) { return std::to_string(value); },
                                 [](const std::string& value) { return value; },
                                 [](const std::vector<std::string>& values) { return absl::StrJoin(values, " "); },
                                 [](absl::Time value) { return TimeText(value); },
                                 [](absl::Duration value) { return std::to_string(absl::ToInt64Seconds(value)); },
                                 [](const Fingerprint& value) { return ToHex(AsBytes(value.bytes)); },
                                 [](const JsonText& value) { return value.text; },
                             },
                             cell));
}

std::string JsonObject(const std::vector<Column>& columns, const Row& row) {
  std::string json = "{";
  for (size_t i = 0; i < columns.size(); ++i) {
    if (i > 0) json += ",";
    json += JsonString(columns[i].key) + ":" + JsonValue(row[i]);
  }
  return json + "}";
}

std::string CsvLine(const std::vector<std::string>& fields) { return absl::StrJoin(fields, ",") + "\r\n"; }

std::vector<std::string> CsvTexts(const Row& row) {
  std::vector<std::string> fields;
  for (const Cell& cell : row) fields.push_back(CsvText(cell));
  return fields;
}

std::vector<std::string> Keys(const std::vector<Column>& columns) {
  std::vector<std::string> keys;
  for (const Column& column : columns) keys.push_back(column.key);
  return keys;
}

std::vector<const Record::List*> ListsOf(const Record& record) {
  std::vector<const Record::List*> lists;
  if (record.list) lists.push_back(&*record.list);
  for (const Record::List& list : record.more_lists) lists.push_back(&list);
  return lists;
}

void WriteJsonRecord(std::ostream& out, const Record& record) {
  out << "{";
  for (size_t i = 0; i < record.fields.size(); ++i) {
    out << (i > 0 ? ",\n " : "\n ") << JsonString(record.fields[i].column.key) << ": "
        << JsonValue(record.fields[i].cell);
  }
  bool first = record.fields.empty();
  for (const Record::List* list : ListsOf(record)) {
    out << (first ? "\n " : ",\n ") << JsonString(list->key) << ": [";
    first = false;
    for (size_t i = 0; i < list->rows.size(); ++i) {
      out << (i > 0 ? ",\n  " : "\n  ") << JsonObject(list->columns, list->rows[i]);
    }
    out << "]";
  }
  out << "\n}\n";
}

void WriteCsvRecord(std::ostream& out, const Record& record) {
  std::vector<Column> columns;
  Row cells;
  for (const Record::Field& field : record.fields) {
    columns.push_back(field.column);
    cells.push_back(field.cell);
  }
  const std::vector<const Record::List*> lists = ListsOf(record);
  for (const Record::List* list : lists) columns.insert(columns.end(), list->columns.begin(), list->columns.end());
  std::vector<Row> rows;
  size_t before = 0;  // columns of the lists that came
  for (const Record::List* list : lists) {
    for (const Row& row : list->rows) {
      Row padded(before);
      padded.insert(padded.end(), row.begin(), row.end());
      padded.resize(columns.size() - cells.size());
      rows.push_back(std::move(padded));
    }
    before += list->columns.size();
  }
  if (rows.empty()) rows.emplace_back(columns.size() - cells.size());
  out << CsvLine(Keys(columns));
  for (const Row& row : rows) {
    Row line = cells;
    line.insert(line.end(), row.begin(), row.end());
    out << CsvLine(CsvTexts(line));
  }
}

void WriteNestedTable(std::ostream& out, const Record::List& list) {
  ListWriter writer(out, OutputFormat::kTable, list.columns);
  for (const Row& row : list.rows) writer.Add(row);
  writer.Finish();
}

}  // namespace

ListWriter::ListWriter(std::ostream& out, OutputFormat format, std::vector<Column> columns, std::string nothing)
    : out_(out), format_(format), columns_(std::move(columns)), nothing_(std::move(nothing)) {}

void ListWriter::Begin() {
  if (begun_) return;
  begun_ = true;
  if (format_ == OutputFormat::kCsv) out_ << CsvLine(Keys(columns_));
  if (format_ == OutputFormat::kJson) out_ << "[";
}

void ListWriter::Add(Row row) {
  Begin();
  row.resize(columns_.size());
  ++count_;
  switch (format_) {
    case OutputFormat::kJson:
      out_ << (count_ > 1 ? ",\n " : "\n ") << JsonObject(columns_, row);
      return;
    case OutputFormat::kCsv:
      out_ << CsvLine(CsvTexts(row));
      return;
    case OutputFormat::kTable:
      break;
  }
  std::vector<std::string> texts;
  for (size_t i = 0; i < columns_.size(); ++i) {
    if (!columns_[i].in_table) continue;
    if (count_ == 1) {
      widths_.push_back(DisplayWidth(columns_[i].title));
      right_aligned_.push_back(true);
    }
    const size_t shown = texts.size();
    texts.push_back(TableText(row[i]));
    if (widths_known_) continue;
    widths_[shown] = std::max(widths_[shown], DisplayWidth(texts.back()));
    if (!std::holds_alternative<int64_t>(row[i])) right_aligned_[shown] = false;
  }
  if (widths_known_) {
    WriteTableRow(texts);
    return;
  }
  waiting_.push_back(std::move(texts));
  if (waiting_.size() >= kRowsForWidths) FlushTable();
}

void ListWriter::FlushTable() {
  if (widths_known_) return;
  widths_known_ = true;
  std::vector<std::string> titles;
  for (const Column& column : columns_) {
    if (column.in_table) titles.push_back(column.title);
  }
  WriteTableRow(titles);
  for (const std::vector<std::string>& texts : waiting_) WriteTableRow(texts);
  waiting_.clear();
}

void ListWriter::WriteTableRow(const std::vector<std::string>& texts) {
  std::string line;
  for (size_t i = 0; i < texts.size(); ++i) {
    const size_t width = DisplayWidth(texts[i]);
    const std::string padding(widths_[i] > width ? widths_[i] - width : 0, ' ');
    if (i > 0) line += "  ";
    if (right_aligned_[i]) line += padding;
    line += texts[i];
    if (!right_aligned_[i] && i + 1 < texts.size()) line += padding;
  }
  out_ << line << "\n";
}

void ListWriter::Finish() {
  Begin();
  if (format_ == OutputFormat::kJson) out_ << (count_ > 0 ? "\n]\n" : "]\n");
  if (format_ != OutputFormat::kTable) return;
  if (count_ == 0) {
    out_ << "(" << nothing_ << ")\n";
  } else {
    FlushTable();
  }
}

Record& Record::Add(std::string key, std::string title, Cell cell) {
  fields.push_back({Column{std::move(key), std::move(title)}, std::move(cell)});
  return *this;
}

void WriteRecord(std::ostream& out, OutputFormat format, const Record& record) {
  if (format == OutputFormat::kJson) return WriteJsonRecord(out, record);
  if (format == OutputFormat::kCsv) return WriteCsvRecord(out, record);
  size_t width = 0;
  for (const Record::Field& field : record.fields) width = std::max(width, DisplayWidth(field.column.title));
  for (const Record::Field& field : record.fields) {
    out << field.column.title << std::string(width - DisplayWidth(field.column.title) + 2, ' ') << TableText(field.cell)
        << "\n";
  }
  for (const Record::List* list : ListsOf(record)) {
    if (list->rows.empty()) continue;
    out << "\n";
    WriteNestedTable(out, *list);
  }
}

void WriteResult(std::ostream& out, OutputFormat format, std::string_view sentence, const Record& record) {
  if (format != OutputFormat::kTable) return WriteRecord(out, format, record);
  out << EscapeForTerminal(sentence) << "\n";
  for (const Record::List* list : ListsOf(record)) {
    if (!list->rows.empty()) WriteNestedTable(out, *list);
  }
}

std::string JsonLine(const std::vector<Column>& columns, const Row& row) { return JsonObject(columns, row) + "\n"; }

absl::StatusOr<OutputFormat> ParseOutputFormat(std::string_view name) {
  if (name == "table") return OutputFormat::kTable;
  if (name == "json") return OutputFormat::kJson;
  if (name == "csv") return OutputFormat::kCsv;
  return InvalidArgument("unknown output format '{}'; the formats are table, json, csv", name);
}

Cell TimeCell(int64_t seconds, int32_t nanos) {
  if (seconds == 0 && nanos == 0) return {};
  return absl::FromUnixSeconds(seconds) + absl::Nanoseconds(nanos);
}

}  // namespace trustline
