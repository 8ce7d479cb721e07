#include "provisioning/sip/response.h"

#include <algorithm>

#include "common/bytes/sha256.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr size_t kMaxReason = 160;
constexpr size_t kTagBytes = 8;

std::string_view UsualReason(int code) {
  switch (code) {
    case 200:
      return "OK";
    case 202:
      return "Accepted";
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 405:
      return "Method Not Allowed";
    case 415:
      return "Unsupported Media Type";
    case 420:
      return "Bad Extension";
    case 503:
      return "Service Unavailable";
    case 505:
      return "Version Not Supported";
    default:
      return "Unknown";
  }
}

// Texts of ours may quote a client.
std::string Printable(std::string_view text, size_t most) {
  std::string printable(text.substr(0, most));
  std::ranges::replace_if(
      printable, [](char c) { return c < ' ' || c > '~'; }, '?');
  return printable;
}

// The first `separator` outside quoted strings; the size of the text when there is none.
size_t FindUnquoted(std::string_view text, char separator) {
  bool is_quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') {
      is_quoted = !is_quoted;
    } else if (is_quoted && text[i] == '\\') {
      ++i;
    } else if (!is_quoted && text[i] == separator) {
      return i;
    }
  }
  return text.size();
}

std::string_view ParameterName(std::string_view parameter) {
  return TrimBlanks(parameter.substr(0, parameter.find('=')));
}

// Of "SIP/2.0/UDP host:port" or "SIP/2.0/UDP [address]:port".
std::string_view SentByHost(std::string_view sent) {
  sent = TrimBlanks(sent);
  const size_t blank = sent.find_first_of(" \t");
  if (blank == std::string_view::npos) return {};
  const std::string_view host = TrimBlanks(sent.substr(blank));
  if (host.starts_with('[')) return host.substr(1, host.find(']') - 1);
  return TrimBlanks(host.substr(0, host.find(':')));
}

bool HasTag(std::string_view to) {
  // Parameters of the header field follow the address; those within angle brackets are the address's.
  const size_t bracket = FindUnquoted(to, '>');
  if (bracket != to.size()) to.remove_prefix(bracket + 1);
  while (!to.empty()) {
    const size_t end = FindUnquoted(to, ';');
    if (end == to.size()) return false;
    to.remove_prefix(end + 1);
    if (LowerCase(ParameterName(to.substr(0, FindUnquoted(to, ';')))) == "tag") return true;
  }
  return false;
}

}  // namespace

std::optional<SipAnswerHead> SipAnswerHead::Of(const SipMessage& message) {
  if (message.start_line.starts_with("SIP/") || message.start_line.starts_with("ACK ")) return std::nullopt;
  SipAnswerHead head;
  const std::pair<std::string_view, std::string*> wanted[] = {
      {"from", &head.from_}, {"to", &head.to_}, {"call-id", &head.call_id_}, {"cseq", &head.cseq_}};
  for (const auto& [name, text] : wanted) {
    const std::string* value = message.Find(name);
    if (value == nullptr || value->empty()) return std::nullopt;
    *text = *value;
  }
  for (const SipHeaderLine& header : message.headers) {
    if (header.name == "via") head.vias_.push_back(header.value);
  }
  if (head.vias_.empty()) return std::nullopt;

  // Section 8.2.7: a stateless server gives the same tag to the same request. No dialog follows, so that nobody gains
  // anything by knowing it.
  if (!HasTag(head.to_)) {
    const std::string identity =
        fmt::format("{}\n{}\n{}\n{}", head.vias_.front(), head.from_, head.call_id_, head.cseq_);
    head.to_ += ";tag=" + ToHex(ByteView(Sha256(AsBytes(identity))).first(kTagBytes));
  }
  return head;
}

void SipAnswerHead::SetSource(const IpAddress& address, uint16_t port) {
  const std::string line = vias_.front();
  const size_t comma = FindUnquoted(line, ',');
  const std::string_view first = std::string_view(line).substr(0, comma);
  const size_t sent_end = FindUnquoted(first, ';');
  const absl::StatusOr<IpAddress> host = IpAddress::Parse(SentByHost(first.substr(0, sent_end)));

  std::string via(first.substr(0, sent_end));
  bool asks_for_port = false;
  for (std::string_view rest = first.substr(sent_end); !rest.empty();) {
    rest.remove_prefix(1);
    const std::string_view parameter = rest.substr(0, FindUnquoted(rest, ';'));
    rest.remove_prefix(parameter.size());
    const std::string name = LowerCase(ParameterName(parameter));
    if (name == "rport") {
      asks_for_port = true;
    } else if (name != "received") {  // which only the server that received it may say
      via += fmt::format(";{}", parameter);
    }
  }
  // RFC 3581, section 4: with rport, `received` is there even when it is the host.
  if (asks_for_port || !host.ok() || *host != address) via += ";received=" + address.ToText();
  if (asks_for_port) via += fmt::format(";rport={}", port);
  vias_.front() = via + line.substr(comma);
}

std::string SipAnswerHead::Response(const SipAnswer& answer) const {
  const std::string_view reason = answer.reason.empty() ? UsualReason(answer.code) : std::string_view(answer.reason);
  std::string text = fmt::format("SIP/2.0 {} {}\r\n", answer.code, Printable(reason, kMaxReason));
  for (const std::string& via : vias_) text += fmt::format("Via: {}\r\n", via);
  text += fmt::format("From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {}\r\n", from_, to_, call_id_, cseq_);
  for (const auto& [name, value] : answer.headers) {
    text += fmt::format("{}: {}\r\n", name, Printable(value, std::string_view::npos));
  }
  text += "Server: Trustline\r\nContent-Length: 0\r\n\r\n";
  return text;
}

}  // namespace trustline
