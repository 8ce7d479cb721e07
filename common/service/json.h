// JSON text (RFC 8259) made from values that nobody has vouched for.
#pragma once

#include <string>
#include <string_view>

namespace trustline {

// Appends `text` as a JSON string with its quotes. Control characters are escaped, each byte that is not part of valid
// UTF-8 becomes U+FFFD, and what exceeds `max_bytes` of input is replaced by "...".
void AppendJsonString(std::string& out, std::string_view text, size_t max_bytes = std::string_view::npos);

// `text` as valid UTF-8 in one line: control characters and bytes that are not UTF-8 become U+FFFD; cut as above.
std::string PrintableText(std::string_view text, size_t max_bytes = std::string_view::npos);

}  // namespace trustline
