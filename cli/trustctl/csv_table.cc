#include "cli/trustctl/csv_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
constexpr std::array<char, 3> kSeparators = {',', ';', '\t'};
constexpr char kQuote = '"';

bool LooksLikeUtf16(std::string_view text) {
  if (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff")) return true;
  return text.substr(0, 2).find('\0') != std::string_view::npos;
}

// The separator that stands most often in the first line, outside of quotation marks.
char FindSeparator(std::string_view text) {
  std::array<size_t, kSeparators.size()> counts = {};
  bool quoted = false;
  for (const char c : text.substr(0, CsvTable::kMaxRowSize)) {
    if (c == kQuote) quoted = !quoted;
    if (quoted) continue;
    if (c == '\n') break;
    const auto* const found = std::ranges::find(kSeparators, c);
    if (found != kSeparators.end()) ++counts[static_cast<size_t>(found - kSeparators.begin())];
  }
  return kSeparators[static_cast<size_t>(std::ranges::max_element(counts) - counts.begin())];
}

bool IsBlank(const std::string& field) {
  return std::ranges::all_of(field, [](char c) { return absl::ascii_isspace(static_cast<unsigned char>(c)); });
}

}  // namespace

std::optional<size_t> FindCsvColumn(const std::vector<std::string>& header, std::span<const std::string_view> names) {
  for (const std::string_view name : names) {
    for (size_t i = 0; i < header.size(); ++i) {
      if (!name.empty() && absl::EqualsIgnoreCase(header[i], {name.data(), name.size()})) return i;
    }
  }
  return std::nullopt;
}

absl::StatusOr<CsvTable> CsvTable::Open(std::string_view text) {
  if (LooksLikeUtf16(text)) {
    return InvalidArgument("the file is UTF-16: convert it with `iconv -f UTF-16 -t UTF-8 FILE > NEW.csv`");
  }
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  CsvTable table(text);
  table.separator_ = FindSeparator(text.substr(std::min(text.find_first_not_of("\r\n"), text.size())));
  std::optional<CsvRow> first = table.NextRow();
  if (!first) return InvalidArgument("there is no line that names the columns: the file is empty");
  if (!first->fault.empty()) return InvalidArgument("the line that names the columns: {}", first->fault);
  for (std::string& name : first->fields) absl::StripAsciiWhitespace(&name);
  table.header_ = std::move(first->fields);
  table.header_line_ = first->line;
  return table;
}

std::optional<CsvRow> CsvTable::Next() {
  std::optional<CsvRow> row = NextRow();
  if (row && row->fault.empty() && row->fields.size() != header_.size()) {
    const size_t count = row->fields.size();
    row->fault =
        fmt::format("{} field{}, but the first line names {} columns", count, count == 1 ? "" : "s", header_.size());
  }
  return row;
}

std::optional<CsvRow> CsvTable::NextRow() {
  while (position_ < text_.size()) {
    CsvRow row = ReadRow();
    if (!row.fault.empty() || !std::ranges::all_of(row.fields, IsBlank)) return row;
  }
  return std::nullopt;
}

CsvRow CsvTable::ReadRow() {
  const size_t begin = position_;
  CsvRow row{.line = line_};
  row.fault = ParseFields(row.fields);
  if (row.fault.empty()) {
    line_ += static_cast<size_t>(std::ranges::count(text_.substr(begin, position_ - begin), '\n'));
    return row;
  }
  row.fields.clear();
  position_ = std::min(text_.find('\n', begin), text_.size() - 1) + 1;
  ++line_;
  return row;
}

bool CsvTable::AtLineEnd() const {
  const std::string_view rest = text_.substr(position_);
  return rest.empty() || rest == "\r" || rest.starts_with('\n') || rest.starts_with("\r\n");
}

void CsvTable::PassLineEnd() {
  if (position_ < text_.size() && text_[position_] == '\r') ++position_;
  if (position_ < text_.size() && text_[position_] == '\n') ++position_;
}

// Up to and with the end of the row's last line; the result is the fault, or empty.
std::string CsvTable::ParseFields(std::vector<std::string>& fields) {
  const size_t end = std::min(text_.size(), position_ + kMaxRowSize);
  const auto too_long = [] {
    return fmt::format("a row of more than {} KB: is there a quotation mark too many?", kMaxRowSize / 1024);
  };
  while (true) {
    std::string field;
    const bool quoted = position_ < end && text_[position_] == kQuote;
    if (quoted) {
      while (true) {
        const size_t close = text_.substr(0, end).find(kQuote, position_ + 1);
        if (close == std::string_view::npos) {
          if (end < text_.size()) return too_long();
          return fmt::format("the quotation mark that begins field {} is never closed", fields.size() + 1);
        }
        field += text_.substr(position_ + 1, close - position_ - 1);
        position_ = close + 1;
        if (position_ == text_.size() || text_[position_] != kQuote) break;
        field += kQuote;
      }
    } else {
      while (position_ < end && !AtLineEnd() && text_[position_] != separator_) {
        if (text_[position_] == kQuote) {
          return fmt::format(
              "a quotation mark in the middle of field {}: such a field begins and ends with one, and "
              "has two for each inside",
              fields.size() + 1);
        }
        field += text_[position_++];
      }
    }
    fields.push_back(std::move(field));
    if (AtLineEnd()) {
      PassLineEnd();
      return "";
    }
    if (position_ >= end) return too_long();
    if (text_[position_] != separator_) {
      return fmt::format("something follows the closing quotation mark of field {}", fields.size());
    }
    ++position_;
  }
}

}  // namespace trustline
