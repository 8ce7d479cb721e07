#include "common/x509/name_text.h"

#include <optional>

#include "common/bytes/bytes.h"
#include "common/status/status.h"
#include "common/x509/attribute_type.h"

namespace trustline {
namespace {

constexpr std::string_view kSeparators = ",;+";
constexpr std::string_view kEscaped = "\"+,;<>\\";

bool IsBlank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

size_t SkipBlanks(std::string_view text, size_t at) {
  while (at < text.size() && IsBlank(text[at])) ++at;
  return at;
}

struct TypeAt {
  std::string oid;
  size_t value_begin;
};

// The attribute type at `at`, when a known one and '=' stand there.
std::optional<TypeAt> ReadType(std::string_view text, size_t at) {
  const size_t begin = SkipBlanks(text, at);
  size_t end = begin;
  while (end < text.size() && text[end] != '=' && !IsBlank(text[end]) &&
         kSeparators.find(text[end]) == std::string_view::npos)
    ++end;
  const size_t equals = SkipBlanks(text, end);
  if (end == begin || equals == text.size() || text[equals] != '=') return std::nullopt;
  std::optional<std::string> oid = AttributeTypeOid(text.substr(begin, end - begin));
  if (!oid) return std::nullopt;
  return TypeAt{*std::move(oid), SkipBlanks(text, equals + 1)};
}

// The offset after the closing quote of a value that begins with one; empty when there is none.
std::optional<size_t> QuotedEnd(std::string_view text, size_t begin) {
  for (size_t at = begin + 1; at < text.size(); ++at) {
    if (text[at] == '\\') {
      ++at;
    } else if (text[at] == '"') {
      return at + 1;
    }
  }
  return std::nullopt;
}

// Where splitting begins to look for separators: after a quoted value, when it is the whole of the value.
size_t ScanBegin(std::string_view text, size_t value_begin) {
  if (value_begin >= text.size() || text[value_begin] != '"') return value_begin;
  const std::optional<size_t> end = QuotedEnd(text, value_begin);
  if (!end) return value_begin;
  const size_t next = SkipBlanks(text, *end);
  if (next == text.size()) return next;
  const bool separated = kSeparators.find(text[next]) != std::string_view::npos && ReadType(text, next + 1).has_value();
  return separated ? next : value_begin;
}

std::string_view TrimBlanks(std::string_view raw) {
  raw.remove_prefix(SkipBlanks(raw, 0));
  size_t end = raw.size();
  while (end > 0 && IsBlank(raw[end - 1])) --end;
  size_t backslashes = 0;
  while (backslashes < end && raw[end - 1 - backslashes] == '\\') ++backslashes;
  // The last blank is part of the value when it is escaped.
  if (backslashes % 2 == 1 && end < raw.size()) ++end;
  return raw.substr(0, end);
}

struct SplitResult {
  std::vector<NameTextPart> parts;
  bool separator_used = false;
};

SplitResult SplitAt(std::string_view text, TypeAt type, char separator) {
  SplitResult result;
  bool joins_previous = false;
  size_t value_begin = type.value_begin;
  for (size_t at = ScanBegin(text, value_begin); at < text.size(); ++at) {
    if (text[at] == '\\') {
      ++at;
      continue;
    }
    if (text[at] != separator && text[at] != '+') continue;
    std::optional<TypeAt> next = ReadType(text, at + 1);
    if (!next) continue;
    result.parts.push_back({type.oid, TrimBlanks(text.substr(value_begin, at - value_begin)), joins_previous});
    joins_previous = text[at] == '+';
    result.separator_used |= text[at] == separator;
    type = *std::move(next);
    value_begin = type.value_begin;
    at = ScanBegin(text, value_begin) - 1;
  }
  result.parts.push_back({type.oid, TrimBlanks(text.substr(value_begin)), joins_previous});
  return result;
}

}  // namespace

absl::StatusOr<std::vector<NameTextPart>> SplitNameText(std::string_view text) {
  std::optional<TypeAt> first = ReadType(text, 0);
  if (!first) {
    return InvalidArgument(
        "a name must begin with an attribute type and '=', such as CN=, O= or an OID; it begins with \"{}\"",
        EscapeNameValue(text.substr(0, 20)));
  }
  SplitResult result = SplitAt(text, *first, ';');
  if (!result.separator_used) result = SplitAt(text, *std::move(first), ',');
  return std::move(result.parts);
}

std::string UnescapeNameValue(std::string_view raw) {
  if (raw.starts_with('"') && QuotedEnd(raw, 0) == raw.size()) raw = raw.substr(1, raw.size() - 2);
  std::string value;
  value.reserve(raw.size());
  for (size_t at = 0; at < raw.size(); ++at) {
    if (raw[at] != '\\' || at + 1 == raw.size()) {
      value.push_back(raw[at]);
      continue;
    }
    const char next = raw[at + 1];
    if (std::string_view("\"+,;<>\\ #=").find(next) != std::string_view::npos) {
      value.push_back(next);
      ++at;
    } else if (const auto byte = FromHex(raw.substr(at + 1, 2)); byte.ok() && byte->size() == 1) {
      value += *byte;
      at += 2;
    } else {
      value.push_back('\\');
    }
  }
  return value;
}

std::string EscapeNameValue(std::string_view value) {
  std::string text;
  text.reserve(value.size());
  for (size_t i = 0; i < value.size(); ++i) {
    const char c = value[i];
    const bool edge_blank = c == ' ' && (i == 0 || i + 1 == value.size());
    if (static_cast<uint8_t>(c) < 0x20 || c == 0x7f) {
      text += "\\" + ToHex(AsBytes(value.substr(i, 1)));
      continue;
    }
    if (kEscaped.find(c) != std::string_view::npos || edge_blank || (c == '#' && i == 0)) text.push_back('\\');
    text.push_back(c);
  }
  return text;
}

}  // namespace trustline
