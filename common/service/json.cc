#include "common/service/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <iterator>

namespace trustline {
namespace {

// The length of the well-formed UTF-8 sequence that `text` begins with (RFC 3629, section 4), 0 when it is none.
size_t Utf8Length(std::string_view text) {
  auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  auto continues = [&](size_t i, uint8_t least = 0x80, uint8_t most = 0xBF) {
    return i < text.size() && byte(i) >= least && byte(i) <= most;
  };
  const uint8_t first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return continues(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    const uint8_t least = first == 0xE0 ? 0xA0 : 0x80;
    const uint8_t most = first == 0xED ? 0x9F : 0xBF;
    return continues(1, least, most) && continues(2) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    const uint8_t least = first == 0xF0 ? 0x90 : 0x80;
    const uint8_t most = first == 0xF4 ? 0x8F : 0xBF;
    return continues(1, least, most) && continues(2) && continues(3) ? 4 : 0;
  }
  return 0;
}

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// C0, DEL, and C1 (U+0080 to U+009F), which steers terminals too.
bool IsControl(std::string_view character) {
  const auto first = static_cast<uint8_t>(character[0]);
  if (character.size() == 1) return first < 0x20 || first == 0x7F;
  return character.size() == 2 && first == 0xC2 && static_cast<uint8_t>(character[1]) < 0xA0;
}

// Calls `each` with every character, or with nothing for a byte that is none, up to `max_bytes`; says whether it was
// cut.
template <typename Each>
bool ForEachCharacter(std::string_view text, size_t max_bytes, Each each) {
  size_t taken = 0;
  while (taken < text.size()) {
    const std::string_view rest = text.substr(taken);
    const size_t length = Utf8Length(rest);
    const size_t step = std::max<size_t>(length, 1);
    if (taken + step > max_bytes) return true;
    each(rest.substr(0, length));
    taken += step;
  }
  return false;
}

}  // namespace

void AppendJsonString(std::string& out, std::string_view text, size_t max_bytes) {
  out.reserve(out.size() + std::min(text.size(), max_bytes) + 2);
  out.push_back('"');
  const bool cut = ForEachCharacter(text, max_bytes, [&out](std::string_view character) {
    if (character.empty()) {
      out.append(kReplacement);
    } else if (character == "\"" || character == "\\") {
      out.push_back('\\');
      out.append(character);
    } else if (character == "\n") {
      out.append("\\n");
    } else if (character == "\r") {
      out.append("\\r");
    } else if (character == "\t") {
      out.append("\\t");
    } else if (IsControl(character)) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<uint8_t>(character.back()));
    } else {
      out.append(character);
    }
  });
  if (cut) out.append("...");
  out.push_back('"');
}

std::string PrintableText(std::string_view text, size_t max_bytes) {
  std::string out;
  const bool cut = ForEachCharacter(text, max_bytes, [&out](std::string_view character) {
    out.append(character.empty() || IsControl(character) ? kReplacement : character);
  });
  if (cut) out.append("...");
  return out;
}

}  // namespace trustline
