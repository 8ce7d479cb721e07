#include "provisioning/sip/trust_alarm.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <pugixml.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "common/device/device_name.h"
#include "common/service/json.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr size_t kMaxAlarmName = 64;
constexpr size_t kMaxParameters = 64;
constexpr size_t kMaxParameterName = 64;
constexpr size_t kMaxValue = 256;  // of what is kept; a SHA-512 in pairs has 192 characters
constexpr size_t kMaxDepth = 8;    // the alarm has 4
constexpr unsigned kParseOptions =
    pugi::parse_escapes | pugi::parse_cdata | pugi::parse_eol | pugi::parse_declaration | pugi::parse_ws_pcdata_single;

bool IsLineBreakOrTab(char c) { return c == '\t' || c == '\n' || c == '\r'; }

bool IsXmlCharacter(uint32_t code) {
  return code == '\t' || code == '\n' || code == '\r' || (code >= 0x20 && code < 0x7f) ||
         (code >= 0xa0 && code < 0xd800) || (code >= 0xe000 && code <= 0x10ffff && code != 0xfffe && code != 0xffff);
}

// What follows '&': one of the five entities of XML, or a character by its number (XML 1.0, sections 4.1 and 4.6).
absl::Status CheckReference(std::string_view text) {
  constexpr size_t kLongest = 10;
  const size_t end = text.substr(0, kLongest).find(';');
  const std::string_view name = text.substr(0, end == std::string_view::npos ? 0 : end);
  if (name == "lt" || name == "gt" || name == "amp" || name == "quot" || name == "apos") return absl::OkStatus();
  if (name.starts_with('#')) {
    const bool is_hex = name.starts_with("#x");
    const std::string_view digits = name.substr(is_hex ? 2 : 1);
    uint32_t code = 0;
    const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), code, is_hex ? 16 : 10);
    if (error == std::errc() && stop == digits.data() + digits.size() && IsXmlCharacter(code)) return absl::OkStatus();
  }
  return InvalidArgument("alarm: a reference that is neither an entity of XML itself nor a character");
}

// What pugixml lets pass.
absl::Status CheckText(std::string_view body) {
  // PrintableText changes what is not UTF-8, and control characters.
  std::string one_line(body);
  std::ranges::replace_if(one_line, IsLineBreakOrTab, ' ');
  if (PrintableText(one_line) != one_line) {
    return InvalidArgument("alarm: it is not UTF-8, or has a control character");
  }
  for (size_t i = body.find_first_of("<&"); i != std::string_view::npos; i = body.find_first_of("<&", i + 1)) {
    const std::string_view rest = body.substr(i + 1);
    if (body[i] == '&') {
      RETURN_IF_ERROR(CheckReference(rest));
    } else if (rest.starts_with('!') && !rest.starts_with("!--") && !rest.starts_with("![CDATA[")) {
      return InvalidArgument("alarm: a document type or another declaration");
    }
  }
  return absl::OkStatus();
}

class DepthCheck final : public pugi::xml_tree_walker {
 public:
  bool for_each(pugi::xml_node& node) override {
    return node.type() != pugi::node_element || depth() < static_cast<int>(kMaxDepth);
  }
};

absl::Status CheckEncoding(const pugi::xml_document& document) {
  for (const pugi::xml_node node : document) {
    if (node.type() != pugi::node_declaration) continue;
    const std::string encoding = absl::AsciiStrToLower(node.attribute("encoding").value());
    if (!encoding.empty() && encoding != "utf-8" && encoding != "us-ascii") {
      return InvalidArgument("alarm: it says that it is in another encoding than UTF-8");
    }
  }
  return absl::OkStatus();
}

// The only child that is an element, which has this name.
absl::StatusOr<pugi::xml_node> OnlyElement(pugi::xml_node parent, std::string_view name) {
  pugi::xml_node found;
  for (const pugi::xml_node node : parent) {
    if (node.type() == pugi::node_pcdata || node.type() == pugi::node_cdata) {
      if (std::string_view(node.value()).find_first_not_of(" \t\r\n") == std::string_view::npos) continue;
      return InvalidArgument("alarm: a text where element {} is expected", name);
    }
    if (node.type() != pugi::node_element) continue;
    if (name != node.name() || found) return InvalidArgument("alarm: exactly one element {} is expected", name);
    found = node;
  }
  if (!found) return InvalidArgument("alarm: element {} is missing", name);
  return found;
}

// The text of an element that has no elements in it. Line ends and tabs become blanks.
absl::StatusOr<std::string> ElementText(pugi::xml_node element) {
  std::string text;
  for (const pugi::xml_node node : element) {
    if (node.type() == pugi::node_element) return InvalidArgument("alarm: an element within a parameter");
    text += node.value();
    if (text.size() > kMaxValue) return InvalidArgument("alarm: a parameter of more than {} bytes", kMaxValue);
  }
  std::ranges::replace_if(text, IsLineBreakOrTab, ' ');
  return text;
}

using Parameters = std::map<std::string, std::string, std::less<>>;

absl::StatusOr<Parameters> ReadParameters(pugi::xml_node list) {
  Parameters parameters;
  for (const pugi::xml_node node : list) {
    if (node.type() != pugi::node_element) {
      if (std::string_view(node.value()).find_first_not_of(" \t\r\n") == std::string_view::npos) continue;
      return InvalidArgument("alarm: a text between the parameters");
    }
    // Phones have others besides String (Enum, UInt, ...), and may have more.
    const std::string name = node.attribute("name").value();
    if (name.empty() || name.size() > kMaxParameterName) return InvalidArgument("alarm: a parameter without a name");
    if (parameters.size() == kMaxParameters) return InvalidArgument("alarm: more than {} parameters", kMaxParameters);
    ASSIGN_OR_RETURN(std::string value, ElementText(node));
    if (!parameters.emplace(name, std::move(value)).second) {
      return InvalidArgument("alarm: parameter {} is there twice", name);
    }
  }
  return parameters;
}

absl::StatusOr<DeviceTrustListInfo> ReadDeviceTrustListInfo(pugi::xml_node alarm) {
  ASSIGN_OR_RETURN(const pugi::xml_node list, OnlyElement(alarm, "ParameterList"));
  ASSIGN_OR_RETURN(Parameters parameters, ReadParameters(list));
  ASSIGN_OR_RETURN(const DeviceName device, DeviceName::Parse(parameters["DeviceName"]));
  std::string& address = parameters["IPv4Address"];
  if (address.empty()) address = parameters["IPv6Address"];
  return DeviceTrustListInfo{.device = device.text(),
                             .address = std::move(address),
                             .itl_signature = std::move(parameters["ITL_Signature"]),
                             .itl_tftp_server = std::move(parameters["ITL_TFTP_Server"]),
                             .ctl_signature = std::move(parameters["CTL_Signature"]),
                             .ctl_tftp_server = std::move(parameters["CTL_TFTP_Server"])};
}

bool IsAlarmName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxAlarmName && std::ranges::all_of(name, [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '.';
  });
}

}  // namespace

absl::StatusOr<PhoneAlarm> ReadPhoneAlarm(std::string_view body) {
  // 1. The text, before anything interprets it.
  if (body.size() > kMaxAlarmBytes) return InvalidArgument("alarm: it is longer than {} bytes", kMaxAlarmBytes);
  RETURN_IF_ERROR(CheckText(body));

  // 2. The document.
  pugi::xml_document document;
  const pugi::xml_parse_result result =
      document.load_buffer(body.data(), body.size(), kParseOptions, pugi::encoding_utf8);
  if (!result) return InvalidArgument("alarm: {} at byte {}", result.description(), result.offset);
  RETURN_IF_ERROR(CheckEncoding(document));
  DepthCheck depth;
  if (!document.traverse(depth)) return InvalidArgument("alarm: more than {} elements in each other", kMaxDepth);

  // 3. The alarm.
  ASSIGN_OR_RETURN(const pugi::xml_node root, OnlyElement(document, "x-cisco-alarm"));
  ASSIGN_OR_RETURN(const pugi::xml_node alarm, OnlyElement(root, "Alarm"));
  std::string name = alarm.attribute("Name").value();
  if (!IsAlarmName(name)) return InvalidArgument("alarm: it has no name");
  if (name != "DeviceTLInfo") return OtherAlarm{.name = std::move(name)};
  return ReadDeviceTrustListInfo(alarm);
}

}  // namespace trustline
