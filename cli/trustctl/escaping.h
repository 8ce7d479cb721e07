// Texts from outside (a certificate's subject, a server's message) made safe for a terminal, JSON and CSV.
#pragma once

#include <string>
#include <string_view>

namespace trustline {

// One line that cannot drive a terminal: control characters, invalid UTF-8 and the characters that reorder text are
// written as \xNN or \u{NNNN}.
std::string EscapeForTerminal(std::string_view text);

// As EscapeForTerminal, but line feeds stay.
std::string EscapeLinesForTerminal(std::string_view text);

// A JSON string with its quotes (RFC 8259, section 7). Invalid UTF-8 becomes U+FFFD; what EscapeForTerminal escapes is
// written as \uNNNN, so that JSON is safe on a terminal too.
std::string JsonString(std::string_view text);

// A CSV field (RFC 4180), quoted when it must be. Escaped as for a terminal, so that a record is always one line.
std::string CsvField(std::string_view text);

// Characters of a text that EscapeForTerminal made. Combining and double-width characters count as one.
size_t DisplayWidth(std::string_view text);

}  // namespace trustline
