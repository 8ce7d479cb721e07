#include "provisioning/sip/request.h"

#include <osipparser2/osip_message.h>
#include <osipparser2/osip_parser.h>

#include <algorithm>
#include <array>
#include <cstdarg>
#include <memory>

#include "absl/strings/ascii.h"
#include "common/service/json.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr size_t kMaxUserAgent = 256;
constexpr size_t kMaxContacts = 32;
constexpr size_t kMaxOptionTags = 32;
constexpr std::string_view kVersion = "SIP/2.0";
constexpr std::string_view kDeviceNameParameter = "+u.sip!devicename.ccm.cisco.com";

// RFC 3261, section 8.1.1, but for Max-Forwards, which only those that pass a request on need.
constexpr std::array<std::string_view, 4> kOnce = {"from", "to", "call-id", "cseq"};
// What libosip2 is given to read. Section 8.2: malformed lines that are not needed are ignored.
constexpr std::array<std::string_view, 7> kRead = {"via", "from", "to", "call-id", "cseq", "contact", "content-type"};

struct FreeOsipMessage {
  void operator()(osip_message_t* message) const { osip_message_free(message); }
};
using OsipMessage = std::unique_ptr<osip_message_t, FreeOsipMessage>;

bool InitializeOsip() {
  // It would write what it thinks of each bad message to standard output.
  osip_trace_initialize_func(TRACE_LEVEL0, [](const char*, int, osip_trace_level_t, const char*, va_list) {});
  for (int level = TRACE_LEVEL0; level < END_TRACE_LEVEL; ++level) {
    osip_trace_disable_level(static_cast<osip_trace_level_t>(level));
  }
  return parser_init() == OSIP_SUCCESS;
}

std::string Text(const char* text) { return text == nullptr ? std::string() : std::string(text); }

template <typename T>
std::vector<T*> Elements(const osip_list_t& list) {
  std::vector<T*> elements;
  osip_list_iterator_t position;
  for (auto* element = static_cast<T*>(osip_list_get_first(&list, &position)); element != nullptr;
       element = static_cast<T*>(osip_list_get_next(&position))) {
    elements.push_back(element);
  }
  return elements;
}

std::string Unquote(std::string_view text) {
  text = TrimBlanks(text);
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
  return std::string(text);
}

absl::StatusOr<OsipMessage> Parse(const SipMessage& message) {
  static const bool is_initialized = InitializeOsip();
  if (!is_initialized) return Internal("libosip2 cannot be initialized");
  std::string text = message.start_line + "\r\n";
  for (const SipHeaderLine& header : message.headers) {
    // An empty line of that name says nothing.
    if (std::ranges::find(kRead, header.name) == kRead.end() || header.value.empty()) continue;
    text += fmt::format("{}: {}\r\n", header.name, header.value);
  }
  text += "\r\n";
  osip_message_t* made = nullptr;
  if (osip_message_init(&made) != OSIP_SUCCESS) return ResourceExhausted("no memory for a SIP message");
  OsipMessage parsed(made);
  if (osip_message_parse(parsed.get(), text.data(), text.size()) != OSIP_SUCCESS) {
    return InvalidArgument("SIP: the request does not follow RFC 3261");
  }
  return parsed;
}

absl::Status CheckLines(const SipMessage& message) {
  for (const std::string_view name : kOnce) {
    const size_t times = message.Occurrences(name);
    if (times == 0) return InvalidArgument("SIP: missing {} header field", name);
    if (times > 1) return InvalidArgument("SIP: {} header fields {}", times, name);
  }
  if (message.Find("via") == nullptr) return InvalidArgument("SIP: missing via header field");
  return absl::OkStatus();
}

absl::Status ReadContacts(const osip_message_t& parsed, SipRequest& request) {
  for (const osip_contact_t* contact : Elements<osip_contact_t>(parsed.contacts)) {
    if (request.contacts.size() == kMaxContacts) return InvalidArgument("SIP: more than {} contacts", kMaxContacts);
    SipContact& read = request.contacts.emplace_back();
    if (contact->url == nullptr) {
      if (Text(contact->displayname) != "*") return InvalidArgument("SIP: a contact without an address");
      read.is_wildcard = true;
      continue;
    }
    read.user = Text(contact->url->username);
    read.host = Text(contact->url->host);
    for (const osip_generic_param_t* parameter : Elements<osip_generic_param_t>(contact->gen_params)) {
      const std::string name = LowerCase(Text(parameter->gname));
      if (name == kDeviceNameParameter) read.device_name = Unquote(Text(parameter->gvalue));
      if (name == "expires") read.expires = Unquote(Text(parameter->gvalue));
    }
  }
  return absl::OkStatus();
}

absl::Status ReadOptionTags(const SipMessage& message, SipRequest& request) {
  for (const SipHeaderLine& header : message.headers) {
    if (header.name != "require") continue;
    for (std::string_view rest = header.value; !rest.empty();) {
      const std::string_view tag = rest.substr(0, rest.find(','));
      rest.remove_prefix(std::min(rest.size(), tag.size() + 1));
      if (TrimBlanks(tag).empty()) continue;
      if (request.require.size() == kMaxOptionTags) {
        return InvalidArgument("SIP: more than {} extensions are required", kMaxOptionTags);
      }
      request.require.push_back(LowerCase(TrimBlanks(tag)));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SipRequest> ReadSipRequest(const SipMessage& message) {
  // 1. The start line's version, which libosip2 does not judge.
  const std::string& start = message.start_line;
  if (!start.ends_with(fmt::format(" {}", kVersion))) {
    const size_t blank = start.rfind(" SIP/");
    if (blank == std::string::npos) return InvalidArgument("SIP: the start line is not that of a request");
    return absl::UnimplementedError("SIP: only version 2.0 is spoken");
  }

  // 2. The lines that each request has, and what stands in them.
  RETURN_IF_ERROR(CheckLines(message));
  ASSIGN_OR_RETURN(const OsipMessage parsed, Parse(message));
  if (parsed->sip_method == nullptr || parsed->req_uri == nullptr || parsed->from == nullptr || parsed->to == nullptr ||
      parsed->from->url == nullptr || parsed->to->url == nullptr || parsed->call_id == nullptr ||
      parsed->cseq == nullptr || osip_list_size(&parsed->vias) <= 0) {
    return InvalidArgument("SIP: the request does not follow RFC 3261");
  }
  SipRequest request{.method = Text(parsed->sip_method),
                     .uri_host = Text(parsed->req_uri->host),
                     .from_user = Text(parsed->from->url->username),
                     .to_user = Text(parsed->to->url->username),
                     .call_id = *message.Find("call-id"),
                     .body = message.body};
  const std::string number = Text(parsed->cseq->number);
  if (number.empty() || number.size() > 10 ||
      !std::ranges::all_of(number, [](char c) { return absl::ascii_isdigit(static_cast<unsigned char>(c)); })) {
    return InvalidArgument("SIP: CSeq has no sequence number");
  }
  if (Text(parsed->cseq->method) != request.method) return InvalidArgument("SIP: CSeq names another method");

  // 3. Whose it is and what it carries.
  RETURN_IF_ERROR(ReadContacts(*parsed, request));
  RETURN_IF_ERROR(ReadOptionTags(message, request));
  if (parsed->content_type != nullptr && parsed->content_type->type != nullptr) {
    request.content_type =
        fmt::format("{}/{}", LowerCase(parsed->content_type->type), LowerCase(Text(parsed->content_type->subtype)));
  }
  if (const std::string* expires = message.Find("expires")) request.expires = *expires;
  if (const std::string* agent = message.Find("user-agent")) {
    // Each byte that is not UTF-8 becomes three: cut once more.
    request.user_agent =
        PrintableText(PrintableText(*agent, kMaxUserAgent), kMaxUserAgent - std::string_view("...").size());
  }
  const std::string* encoding = message.Find("content-encoding");
  request.is_encoded = encoding != nullptr && !encoding->empty() && LowerCase(*encoding) != "identity";
  return request;
}

}  // namespace trustline
