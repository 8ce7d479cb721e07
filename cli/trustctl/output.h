// What commands print: records of typed cells, rendered as an aligned table, one JSON document, or CSV.
#pragma once

#include <cstdint>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace trustline {

enum class OutputFormat { kTable, kJson, kCsv };

// A SHA-256: the first 16 hexadecimal digits in tables, all 64 elsewhere.
struct Fingerprint {
  std::string bytes;
};

// A JSON value made elsewhere. Printed as a text when it is not valid JSON.
struct JsonText {
  std::string text;
};

// Empty: "-" in tables, null in JSON, nothing in CSV. Times are RFC 3339 in UTC, to the
// second in tables; durations are texts such as "24h" in
// tables and whole seconds elsewhere (their column's key ends in _seconds); lists are separated by commas in tables and
// by blanks in CSV.
using Cell = std::variant<std::monostate, bool, int64_t, std::string, std::vector<std::string>, absl::Time,
                          absl::Duration, Fingerprint, JsonText>;

struct Column {
  std::string key;       // in JSON and CSV: snake_case, never changed once published
  std::string title;     // in tables
  bool in_table = true;  // false: in JSON and CSV only
};

using Row = std::vector<Cell>;

// Prints a list as it comes: an array in JSON. Memory is bounded: the widths of a table's columns come from its first
// 1,000 rows. Without rows a table is `nothing` in parentheses.
class ListWriter {
 public:
  // `out` must outlive the writer.
  ListWriter(std::ostream& out, OutputFormat format, std::vector<Column> columns, std::string nothing = "nothing");

  // One cell a column.
  void Add(Row row);

  // Must be called once, at the end. After an error only where the rows stand for themselves: otherwise something half
  // would look whole.
  void Finish();

  int64_t count() const { return count_; }

 private:
  void Begin();
  void WriteTableRow(const std::vector<std::string>& texts);
  void FlushTable();

  std::ostream& out_;
  const OutputFormat format_;
  const std::vector<Column> columns_;
  const std::string nothing_;
  int64_t count_ = 0;
  bool begun_ = false;

  // Tables only: rows that wait for the widths, one text a shown column.
  std::vector<std::vector<std::string>> waiting_;
  std::vector<size_t> widths_;
  std::vector<bool> right_aligned_;
  bool widths_known_ = false;
};

// One thing with its fields and optionally lists inside it. No key of a list's columns is a field's or another list's.
struct Record {
  struct Field {
    Column column;
    Cell cell;
  };
  struct List {
    std::string key;
    std::vector<Column> columns;
    std::vector<Row> rows;
  };

  Record& Add(std::string key, std::string title, Cell cell);

  std::vector<Field> fields;
  std::optional<List> list;
  std::vector<List> more_lists;  // after it
};

// A table shows a field a line, then each list unless it is empty; CSV has a line for each row of each list with the
// fields repeated and the other lists' columns empty.
void WriteRecord(std::ostream& out, OutputFormat format, const Record& record);

// As WriteRecord, but a table shows `sentence` instead of the fields: what a command that changes something says.
void WriteResult(std::ostream& out, OutputFormat format, std::string_view sentence, const Record& record);

// One record as a JSON object on a line of its own.
std::string JsonLine(const std::vector<Column>& columns, const Row& row);

// "table", "json" or "csv".
absl::StatusOr<OutputFormat> ParseOutputFormat(std::string_view name);

// Seconds since 1970 of a protobuf Timestamp, and of an unset one (seconds and nanos 0) an empty cell.
Cell TimeCell(int64_t seconds, int32_t nanos);

}  // namespace trustline
