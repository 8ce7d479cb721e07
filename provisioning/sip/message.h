// A SIP message as its bytes stand (RFC 3261, section 7): its lines and its body, not what they mean.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace trustline {

inline constexpr size_t kMaxSipHeadBytes = size_t{16} * 1024;  // start line and header lines, with the empty line
inline constexpr size_t kMaxSipHeaderLines = 200;
inline constexpr size_t kMaxSipBodyBytes = size_t{64} * 1024;

struct SipHeaderLine {
  std::string name;   // in full and in lower case: "call-id" for "i"
  std::string value;  // unfolded, without blanks around it; has no control character
};

struct SipMessage {
  std::string start_line;
  std::vector<SipHeaderLine> headers;
  std::string body;

  // The value of the first header line of that name; null when there is none.
  const std::string* Find(std::string_view name) const;
  size_t Occurrences(std::string_view name) const;
};

// `head`: a start line and header lines, each ended by CR LF, and the empty line. InvalidArgument for a line without a
// name, control characters (also a CR or LF alone), and whatever exceeds the limits.
absl::StatusOr<SipMessage> ReadSipHead(std::string_view head);

// Of the body; nullopt when no line says it. InvalidArgument for two different ones, for what is no number, and for
// more than kMaxSipBodyBytes.
absl::StatusOr<std::optional<size_t>> SipContentLength(const SipMessage& message);

// Lower case of ASCII letters; other bytes stay.
std::string LowerCase(std::string_view text);
// Without blanks and tabs at both ends.
std::string_view TrimBlanks(std::string_view text);

}  // namespace trustline
