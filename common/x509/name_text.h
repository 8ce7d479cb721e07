// The text form of names: splitting and escapes (RFC 4514, and what phones and administrators write besides).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace trustline {

// One `type=value` of a text; the value is still escaped and borrows from the text.
struct NameTextPart {
  std::string oid;
  std::string_view raw_value;
  bool joins_previous = false;  // followed a '+'
};

// Splits at the separators that a known type and '=' follow: at ';' when there is one such, otherwise at ','; at '+' in
// any case. InvalidArgument when the text does not begin with a known type.
absl::StatusOr<std::vector<NameTextPart>> SplitNameText(std::string_view text);

// Takes away the quotes and escapes. A backslash before a character that needs none stays.
std::string UnescapeNameValue(std::string_view raw);

// RFC 4514, section 2.4, with control characters escaped too, so that names are safe to print.
std::string EscapeNameValue(std::string_view value);

}  // namespace trustline
