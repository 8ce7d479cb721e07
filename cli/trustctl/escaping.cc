#include "cli/trustctl/escaping.h"

#include <fmt/format.h>

#include <cstdint>
#include <optional>

#include "common/service/json.h"

namespace trustline {
namespace {

struct CodePoint {
  size_t size;                    // bytes used; 1 when invalid
  std::optional<uint32_t> value;  // empty when invalid
};

// The code point at `position` by RFC 3629: no overlong forms, no surrogates.
CodePoint DecodeUtf8(std::string_view text, size_t position) {
  const auto byte = [&](size_t index) { return static_cast<uint8_t>(text[index]); };
  const uint8_t first = byte(position);
  if (first < 0x80) return {1, first};
  const size_t size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() - position < size) return {1, std::nullopt};
  uint32_t value = first & (0xFF >> (size + 1));
  for (size_t i = 1; i < size; ++i) {
    if ((byte(position + i) & 0xC0) != 0x80) return {1, std::nullopt};
    value = value << 6 | (byte(position + i) & 0x3F);
  }
  const uint32_t smallest = size == 4 ? 0x10000 : size == 3 ? 0x800 : 0x80;
  if (value < smallest || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) return {1, std::nullopt};
  return {size, value};
}

// C0, DEL, C1, line and paragraph separators, and the marks that change the direction of text.
bool DrivesTerminal(uint32_t value) {
  return value < 0x20 || (value >= 0x7F && value < 0xA0) || value == 0x061C || value == 0x200E || value == 0x200F ||
         (value >= 0x2028 && value <= 0x202E) || (value >= 0x2066 && value <= 0x2069) || value == 0xFEFF;
}

std::string Escape(std::string_view text, bool keep_line_feeds) {
  std::string escaped;
  escaped.reserve(text.size());
  for (size_t position = 0; position < text.size();) {
    const CodePoint point = DecodeUtf8(text, position);
    if (point.value == '\n' && keep_line_feeds) {
      escaped += '\n';
    } else if (!point.value || (DrivesTerminal(*point.value) && point.size == 1)) {
      escaped += fmt::format("\\x{:02x}", static_cast<uint8_t>(text[position]));
    } else if (DrivesTerminal(*point.value)) {
      escaped += fmt::format("\\u{{{:04x}}}", *point.value);
    } else {
      escaped += text.substr(position, point.size);
    }
    position += point.size;
  }
  return escaped;
}

}  // namespace

std::string EscapeForTerminal(std::string_view text) { return Escape(text, /*keep_line_feeds=*/false); }

std::string EscapeLinesForTerminal(std::string_view text) { return Escape(text, /*keep_line_feeds=*/true); }

std::string JsonString(std::string_view text) {
  std::string json;
  AppendJsonString(json, text);
  std::string safe;
  safe.reserve(json.size());
  for (size_t position = 0; position < json.size();) {
    const CodePoint point = DecodeUtf8(json, position);
    if (point.value && DrivesTerminal(*point.value)) {
      safe += fmt::format("\\u{:04x}", *point.value);
    } else {
      safe += std::string_view(json).substr(position, point.size);
    }
    position += point.size;
  }
  return safe;
}

std::string CsvField(std::string_view text) {
  const std::string escaped = EscapeForTerminal(text);
  if (escaped.find_first_of(",\"") == std::string::npos) return escaped;
  std::string quoted = "\"";
  for (const char character : escaped) {
    if (character == '"') quoted += '"';
    quoted += character;
  }
  return quoted + '"';
}

size_t DisplayWidth(std::string_view text) {
  size_t width = 0;
  for (const char character : text) {
    if ((static_cast<uint8_t>(character) & 0xC0) != 0x80) ++width;
  }
  return width;
}

}  // namespace trustline
