#include "provisioning/sip/message.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "absl/strings/ascii.h"
#include "common/status/status.h"

namespace trustline {
namespace {

// RFC 3261, section 7.3.3, and RFC 3515, 3841, 3892 and 6665 for those that phones may send.
constexpr std::array<std::pair<char, std::string_view>, 12> kCompactForms = {{{'i', "call-id"},
                                                                              {'m', "contact"},
                                                                              {'e', "content-encoding"},
                                                                              {'l', "content-length"},
                                                                              {'c', "content-type"},
                                                                              {'f', "from"},
                                                                              {'s', "subject"},
                                                                              {'k', "supported"},
                                                                              {'t', "to"},
                                                                              {'v', "via"},
                                                                              {'r', "refer-to"},
                                                                              {'b', "referred-by"}}};

bool IsTokenCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
         std::string_view("-.!%*_+`'~").find(c) != std::string_view::npos;
}

bool IsControl(char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == '\x7f'; }

std::string FullName(std::string_view name) {
  std::string lower = LowerCase(name);
  if (lower.size() != 1) return lower;
  const auto* const form =
      std::ranges::find(kCompactForms, lower[0], [](const auto& compact) { return compact.first; });
  return form == kCompactForms.end() ? lower : std::string(form->second);
}

absl::StatusOr<SipHeaderLine> ReadHeaderLine(std::string_view line) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return InvalidArgument("SIP: a header line has no colon");
  const std::string_view name = TrimBlanks(line.substr(0, colon));
  if (name.empty() || !std::ranges::all_of(name, IsTokenCharacter)) {
    return InvalidArgument("SIP: a header line's name is not a token");
  }
  return SipHeaderLine{.name = FullName(name), .value = std::string(TrimBlanks(line.substr(colon + 1)))};
}

}  // namespace

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(),
                         [](char c) { return absl::ascii_tolower(static_cast<unsigned char>(c)); });
  return lower;
}

std::string_view TrimBlanks(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

const std::string* SipMessage::Find(std::string_view name) const {
  const auto found = std::ranges::find(headers, name, &SipHeaderLine::name);
  return found == headers.end() ? nullptr : &found->value;
}

size_t SipMessage::Occurrences(std::string_view name) const {
  return static_cast<size_t>(std::ranges::count(headers, name, &SipHeaderLine::name));
}

absl::StatusOr<SipMessage> ReadSipHead(std::string_view head) {
  if (head.size() > kMaxSipHeadBytes) {
    return InvalidArgument("SIP: the header lines exceed {} bytes", kMaxSipHeadBytes);
  }
  SipMessage message;
  bool is_first = true;
  size_t lines = 0;
  while (true) {
    const size_t end = head.find("\r\n");
    if (end == std::string_view::npos) return InvalidArgument("SIP: no empty line ends the header lines");
    const std::string_view line = head.substr(0, end);
    head.remove_prefix(end + 2);
    if (std::ranges::any_of(line, IsControl)) {
      return InvalidArgument("SIP: a line has a control character, or does not end with CR LF");
    }
    if (std::exchange(is_first, false)) {
      if (line.empty()) return InvalidArgument("SIP: the start line is empty");
      message.start_line = line;
      continue;
    }
    if (line.empty()) break;
    if (++lines > kMaxSipHeaderLines) return InvalidArgument("SIP: more than {} header lines", kMaxSipHeaderLines);
    if (line[0] == ' ' || line[0] == '\t') {
      // RFC 3261, section 7.3.1: "folding" is one blank.
      if (message.headers.empty()) return InvalidArgument("SIP: the first header line continues none");
      std::string& value = message.headers.back().value;
      const std::string_view more = TrimBlanks(line);
      if (!value.empty() && !more.empty()) value += ' ';
      value += more;
      continue;
    }
    ASSIGN_OR_RETURN(SipHeaderLine header, ReadHeaderLine(line));
    message.headers.push_back(std::move(header));
  }
  if (!head.empty()) return InvalidArgument("SIP: bytes follow the empty line");
  return message;
}

absl::StatusOr<std::optional<size_t>> SipContentLength(const SipMessage& message) {
  std::optional<size_t> length;
  for (const SipHeaderLine& header : message.headers) {
    if (header.name != "content-length") continue;
    const std::string& digits = header.value;
    // from_chars takes a sign, the format does not.
    size_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (digits.empty() || digits[0] == '-' || end != digits.data() + digits.size() ||
        (error != std::errc() && error != std::errc::result_out_of_range)) {
      return InvalidArgument("SIP: Content-Length is not a number");
    }
    if (error != std::errc() || value > kMaxSipBodyBytes) {
      return InvalidArgument("SIP: the body is longer than {} bytes", kMaxSipBodyBytes);
    }
    if (length && *length != value) return InvalidArgument("SIP: two different Content-Length");
    length = value;
  }
  return length;
}

}  // namespace trustline
