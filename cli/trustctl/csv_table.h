// Comma-separated values (RFC 4180) as spreadsheets and call managers write them, read row by row.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace trustline {

struct CsvRow {
  size_t line = 0;                  // the first line of the row in the text, counted from 1
  std::vector<std::string> fields;  // as many as the header has, unless there is a fault
  std::string fault;                // why the row cannot be used; empty when it can
};

// The place of the first column that has one of the names in any case, in the order of the names; empty ones are none.
std::optional<size_t> FindCsvColumn(const std::vector<std::string>& header, std::span<const std::string_view> names);

// A table whose first line names the columns. Fields are separated by ',', ';' or tab, whichever stands most often in
// the header line; lines end in LF or CRLF; a UTF-8 byte order mark is passed over, and so are rows of nothing but
// blanks. A row with a fault never takes others along: reading goes on at the line after the one it begins in.
class CsvTable {
 public:
  // More than that in one row is a fault: somewhere a quotation mark was left open.
  static constexpr size_t kMaxRowSize = 64 * 1024;

  // `text` must outlive the table. InvalidArgument when there is no header line, it has a fault, or the text is UTF-16.
  static absl::StatusOr<CsvTable> Open(std::string_view text);

  // The names of the columns without blanks around them.
  const std::vector<std::string>& header() const { return header_; }
  size_t header_line() const { return header_line_; }

  // Empty after the last row.
  std::optional<CsvRow> Next();

 private:
  explicit CsvTable(std::string_view text) : text_(text) {}
  std::optional<CsvRow> NextRow();
  CsvRow ReadRow();
  std::string ParseFields(std::vector<std::string>& fields);
  bool AtLineEnd() const;
  void PassLineEnd();

  std::string_view text_;
  char separator_ = ',';
  std::vector<std::string> header_;
  size_t header_line_ = 1;
  size_t position_ = 0;
  size_t line_ = 1;
};

}  // namespace trustline
