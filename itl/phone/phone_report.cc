#include "itl/phone/phone_report.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "common/bytes/bytes.h"
#include "common/device/device_name.h"
#include "common/net/ip_address.h"
#include "common/rpc/proto_time.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr size_t kLongestText = 255;
constexpr char kNotInstalled[] = "Not Installed";

// UTF-8 without control characters, as PostgreSQL and terminals take it.
absl::StatusOr<std::string> CheckedText(const std::string& text, std::string_view what) {
  if (text.size() > kLongestText) return InvalidArgument("{} is longer than {} bytes", what, kLongestText);
  if (std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < ' ' || c == 0x7F; })) {
    return InvalidArgument("{} has control characters", what);
  }
  std::string stripped = text;
  absl::StripAsciiWhitespace(&stripped);
  return stripped;
}

// What spreadsheets take for a formula is nobody's name.
void DropFormula(std::string& text) {
  constexpr std::string_view kBegins = "=+-@";
  const size_t begin = text.find_first_not_of(kBegins);
  text.erase(0, std::min(begin, text.size()));
}

absl::StatusOr<std::string> ServerName(const std::string& text) {
  ASSIGN_OR_RETURN(std::string name, CheckedText(text, "the TFTP server"));
  absl::AsciiStrToLower(&name);
  // Names with '_' are no host names, but there are some. "N/A", which phones write where they have none to name, is
  // none.
  const auto is_known = [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '-' || c == '.' || c == '_' || c == ':';
  };
  const bool is_name = !name.empty() && name.front() != '-' && std::all_of(name.begin(), name.end(), is_known);
  return is_name ? name : std::string();
}

EvidenceBasis FromProto(v1::ReportBasis basis) {
  switch (basis) {
    case v1::REPORT_BASIS_FORWARDER:
      return EvidenceBasis::kForwarder;
    case v1::REPORT_BASIS_DEVICE_CERTIFICATE:
      return EvidenceBasis::kDeviceCertificate;
    default:
      return EvidenceBasis::kNone;
  }
}

absl::StatusOr<PhoneEventKind> FromProto(v1::PhoneReport::Event event) {
  switch (event) {
    case v1::PhoneReport::EVENT_LISTS:
      return PhoneEventKind::kLists;
    case v1::PhoneReport::EVENT_REGISTERED:
      return PhoneEventKind::kRegistered;
    case v1::PhoneReport::EVENT_UNREGISTERED:
      return PhoneEventKind::kUnregistered;
    default:
      return InvalidArgument("the report does not say what happened (event)");
  }
}

}  // namespace

ListSignature ReadListSignature(const std::string& said) {
  std::string text = said;
  absl::StripAsciiWhitespace(&text);
  if (absl::EqualsIgnoreCase(text, kNotInstalled)) return {.state = ListSignature::State::kNotInstalled};
  std::string digits;
  digits.reserve(2 * Sha1Digest().size());
  bool in_pair = false;
  for (const char c : text) {
    if (absl::ascii_isxdigit(static_cast<unsigned char>(c))) {
      if (digits.size() == 2 * Sha1Digest().size()) return {};
      digits += c;
      in_pair = !in_pair;
    } else if ((c != ' ' && c != ':') || in_pair) {
      return {};
    }
  }
  const absl::StatusOr<std::string> bytes = FromHex(digits);
  ListSignature signature{.state = ListSignature::State::kHash};
  if (!bytes.ok() || bytes->size() != signature.sha1.size()) return {};
  std::copy(bytes->begin(), bytes->end(), signature.sha1.begin());
  return signature;
}

std::string PhoneReport::Via() const {
  if (event == PhoneEventKind::kAdopted) return "adopted by " + source;
  switch (basis) {
    case EvidenceBasis::kForwarder:
      return "forwarder " + source;
    case EvidenceBasis::kDeviceCertificate:
      return "the device's certificate, from " + source;
    case EvidenceBasis::kCaller:
    case EvidenceBasis::kNone:
      break;
  }
  return source;
}

absl::StatusOr<PhoneReport> ReadPhoneReport(const v1::PhoneReport& message, bool is_provisiond,
                                            const std::string& caller, absl::Time now) {
  PhoneReport report;
  ASSIGN_OR_RETURN(const DeviceName device, DeviceName::Parse(message.device()));
  report.device = device.text();
  ASSIGN_OR_RETURN(report.event, FromProto(message.event()));
  report.at = message.has_at() ? std::min(FromProtoTime(message.at()), now) : now;
  if (report.at < absl::UnixEpoch()) return InvalidArgument("the report's time is before 1970");
  ASSIGN_OR_RETURN(report.address, CheckedText(message.address(), "the address"));
  if (!IpAddress::Parse(report.address).ok()) report.address.clear();
  ASSIGN_OR_RETURN(report.user_agent, CheckedText(message.user_agent(), "the user agent"));
  DropFormula(report.user_agent);
  ASSIGN_OR_RETURN(report.itl_server, ServerName(message.itl_tftp_server()));
  ASSIGN_OR_RETURN(report.ctl_server, ServerName(message.ctl_tftp_server()));
  report.itl = ReadListSignature(message.itl_signature());
  if (!message.ctl_signature().empty()) report.ctl = ReadListSignature(message.ctl_signature());
  if (is_provisiond) {
    report.basis = FromProto(message.basis());
    ASSIGN_OR_RETURN(report.source, CheckedText(message.source(), "the source"));
  } else {
    report.basis = EvidenceBasis::kCaller;
    report.source = caller;
  }
  return report;
}

}  // namespace trustline
