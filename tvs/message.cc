#include "tvs/message.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "common/bytes/reader.h"
#include "common/bytes/writer.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr uint8_t kDeviceNamePrefix = 1;
constexpr uint8_t kStatusValid = 0;
constexpr uint8_t kStatusInvalid = 1;

struct Element {
  TvsTag tag;
  ByteView value;
};

struct ElementRule {
  TvsTag tag;
  std::string_view name;
  size_t minimum;
  size_t maximum;
};

constexpr ElementRule kVerifyRequestRules[] = {
    {TvsTag::kDeviceName, "device name", 1, kMaxTvsDeviceName},
    {TvsTag::kCertificate, "certificate", 1, kMaxTvsCertificate},
};
constexpr ElementRule kQueryRequestRules[] = {
    {TvsTag::kDeviceName, "device name", 1, kMaxTvsDeviceName},
    {TvsTag::kSubjectName, "subject name", 0, kMaxTvsName},
    {TvsTag::kIssuerName, "issuer name", 1, kMaxTvsName},
    {TvsTag::kSerialNumber, "serial number", 1, kMaxTvsSerialNumber},
};
constexpr ElementRule kVerifyResponseRules[] = {
    {TvsTag::kStatus, "status", 1, 1},
    {TvsTag::kRoles, "roles", 0, kMaxTvsRoles},
    {TvsTag::kTtl, "TTL", 4, 4},
};
constexpr ElementRule kQueryResponseRules[] = {
    {TvsTag::kStatus, "status", 1, 1},
    {TvsTag::kCertificate, "certificate", 1, kMaxTvsCertificate},
    {TvsTag::kRoles, "roles", 0, kMaxTvsRoles},
    {TvsTag::kTtl, "TTL", 4, 4},
};

std::string_view MessageName(TvsCommand command) {
  switch (command) {
    case TvsCommand::kVerifyRequest:
      return "TVS verify request";
    case TvsCommand::kVerifyResponse:
      return "TVS verify response";
    case TvsCommand::kQueryRequest:
      return "TVS query request";
    case TvsCommand::kQueryResponse:
      return "TVS query response";
  }
  return "TVS message";
}

// The elements of a body, each at most once, each within its limits.
class Elements {
 public:
  static absl::StatusOr<Elements> Read(std::string_view message, std::span<const ElementRule> rules, ByteView body) {
    Elements elements(message);
    ByteReader reader(message, body);
    while (!reader.empty()) {
      ASSIGN_OR_RETURN(const uint8_t tag, reader.ReadU8("element tag"));
      const auto rule =
          std::ranges::find_if(rules, [&](const ElementRule& r) { return static_cast<uint8_t>(r.tag) == tag; });
      if (rule == rules.end()) return InvalidArgument("{}: unknown element with tag {}", message, tag);
      ASSIGN_OR_RETURN(const ByteView value, reader.ReadBytesWithU16Length(rule->name, rule->maximum));
      if (value.size() < rule->minimum) {
        return InvalidArgument("{}: {} of {} bytes is too short", message, rule->name, value.size());
      }
      if (elements.Find(rule->tag) != nullptr) return InvalidArgument("{}: {} stands twice", message, rule->name);
      elements.found_[elements.count_++] = {rule->tag, value};
    }
    return elements;
  }

  const ByteView* Find(TvsTag tag) const {
    for (size_t i = 0; i < count_; ++i) {
      if (found_[i].tag == tag) return &found_[i].value;
    }
    return nullptr;
  }

  absl::StatusOr<ByteView> Require(TvsTag tag, std::string_view name) const {
    if (const ByteView* value = Find(tag)) return *value;
    return InvalidArgument("{}: no {}", message_, name);
  }

 private:
  explicit Elements(std::string_view message) : message_(message) {}

  std::string_view message_;
  std::array<Element, 4> found_{};
  size_t count_ = 0;
};

absl::StatusOr<std::string_view> DecodeDeviceName(std::string_view message, const Elements& elements) {
  const ByteView* value = elements.Find(TvsTag::kDeviceName);
  if (value == nullptr) return std::string_view();
  if ((*value)[0] != kDeviceNamePrefix) return InvalidArgument("{}: device name does not begin with 1", message);
  std::string_view text = AsText(value->subspan(1));
  if (text.ends_with('\0')) text.remove_suffix(1);
  const bool well_formed =
      std::ranges::all_of(text, [](char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.'; });
  if (text.empty() || !well_formed) {
    return InvalidArgument("{}: device name has other characters than letters, digits, '-', '_' and '.'", message);
  }
  return text;
}

// Text with one NUL at its end.
absl::StatusOr<std::string_view> DecodeName(std::string_view message, std::string_view field, ByteView value) {
  std::string_view text = AsText(value);
  if (text.ends_with('\0')) text.remove_suffix(1);
  if (text.find('\0') != std::string_view::npos) return InvalidArgument("{}: NUL inside the {}", message, field);
  return text;
}

ByteView WithoutLeadingZeroBytes(ByteView bytes) {
  const auto first = std::ranges::find_if(bytes, [](uint8_t byte) { return byte != 0; });
  return bytes.subspan(static_cast<size_t>(first - bytes.begin()));
}

void AppendHeader(ByteWriter& writer, TvsCommand command, uint32_t session_id, size_t body_length) {
  writer.U8(kTvsProtocolId)
      .U8(kTvsVersion)
      .U8(static_cast<uint8_t>(command))
      .U8(0)
      .U32(session_id)
      .U16(static_cast<uint16_t>(body_length));
}

void AppendElement(ByteWriter& writer, TvsTag tag, ByteView value) {
  writer.U8(static_cast<uint8_t>(tag)).U16(static_cast<uint16_t>(value.size())).Bytes(value);
}

std::string EncodeResponse(TvsCommand command, uint32_t session_id, const TvsResponse& response) {
  const bool with_certificate = response.valid && command == TvsCommand::kQueryResponse;
  const size_t body_length =
      response.valid ? 4 + (with_certificate ? 3 + response.certificate.size() : 0) + 3 + response.roles.size() + 7 : 4;
  ByteWriter writer(kTvsHeaderSize + body_length);
  AppendHeader(writer, command, session_id, body_length);
  writer.U8(static_cast<uint8_t>(TvsTag::kStatus)).U16(1).U8(response.valid ? kStatusValid : kStatusInvalid);
  if (!response.valid) return writer.Take();
  if (with_certificate) AppendElement(writer, TvsTag::kCertificate, AsBytes(response.certificate));
  writer.U8(static_cast<uint8_t>(TvsTag::kRoles)).U16(static_cast<uint16_t>(response.roles.size()));
  for (CertificateRole role : response.roles) writer.U8(static_cast<uint8_t>(role));
  writer.U8(static_cast<uint8_t>(TvsTag::kTtl)).U16(4).U32(response.ttl_seconds);
  return writer.Take();
}

absl::StatusOr<std::string> DeviceNameElement(std::string_view device_name) {
  if (device_name.empty() || device_name.size() >= kMaxTvsDeviceName) {
    return InvalidArgument("a device name has 1 to {} characters", kMaxTvsDeviceName - 1);
  }
  return ByteWriter().U8(kDeviceNamePrefix).Bytes(AsBytes(device_name)).Take();
}

}  // namespace

absl::StatusOr<TvsHeader> DecodeTvsHeader(ByteView bytes) {
  ByteReader reader("TVS header", bytes);
  ASSIGN_OR_RETURN(const uint8_t protocol_id, reader.ReadU8("protocol id"));
  if (protocol_id != kTvsProtocolId) return InvalidArgument("TVS header: protocol id {} is not 87", protocol_id);
  ASSIGN_OR_RETURN(const uint8_t version, reader.ReadU8("version"));
  if (version != kTvsVersion) return InvalidArgument("TVS header: version {} is not 1", version);
  ASSIGN_OR_RETURN(const uint8_t command, reader.ReadU8("command"));
  if (command < 1 || command > 4) return InvalidArgument("TVS header: unknown command {}", command);
  RETURN_IF_ERROR(reader.ReadU8("reserved").status());
  TvsHeader header{.command = static_cast<TvsCommand>(command)};
  ASSIGN_OR_RETURN(header.session_id, reader.ReadU32("session id"));
  ASSIGN_OR_RETURN(header.body_length, reader.ReadU16("length"));
  RETURN_IF_ERROR(reader.AssertDone());
  return header;
}

absl::StatusOr<TvsRequest> DecodeTvsRequest(TvsCommand command, ByteView body) {
  const std::string_view message = MessageName(command);
  if (command == TvsCommand::kVerifyRequest) {
    ASSIGN_OR_RETURN(const Elements elements, Elements::Read(message, kVerifyRequestRules, body));
    TvsVerifyRequest request;
    ASSIGN_OR_RETURN(request.device_name, DecodeDeviceName(message, elements));
    ASSIGN_OR_RETURN(request.certificate, elements.Require(TvsTag::kCertificate, "certificate"));
    return request;
  }
  if (command == TvsCommand::kQueryRequest) {
    ASSIGN_OR_RETURN(const Elements elements, Elements::Read(message, kQueryRequestRules, body));
    TvsQueryRequest request;
    ASSIGN_OR_RETURN(request.device_name, DecodeDeviceName(message, elements));
    if (const ByteView* subject = elements.Find(TvsTag::kSubjectName)) {
      ASSIGN_OR_RETURN(request.subject, DecodeName(message, "subject name", *subject));
    }
    ASSIGN_OR_RETURN(const ByteView issuer, elements.Require(TvsTag::kIssuerName, "issuer name"));
    ASSIGN_OR_RETURN(request.issuer, DecodeName(message, "issuer name", issuer));
    ASSIGN_OR_RETURN(const ByteView serial, elements.Require(TvsTag::kSerialNumber, "serial number"));
    request.serial_number = WithoutLeadingZeroBytes(serial);
    return request;
  }
  return InvalidArgument("{}: a phone does not send this", message);
}

std::string EncodeTvsVerifyResponse(uint32_t session_id, const TvsResponse& response) {
  return EncodeResponse(TvsCommand::kVerifyResponse, session_id, response);
}

absl::StatusOr<std::string> EncodeTvsQueryResponse(uint32_t session_id, const TvsResponse& response) {
  if (response.certificate.size() > kMaxTvsCertificate) {
    return InvalidArgument("TVS query response: a certificate of {} bytes does not fit", response.certificate.size());
  }
  return EncodeResponse(TvsCommand::kQueryResponse, session_id, response);
}

absl::StatusOr<std::string> EncodeTvsVerifyRequest(uint32_t session_id, std::string_view device_name,
                                                   ByteView certificate) {
  ASSIGN_OR_RETURN(const std::string device, DeviceNameElement(device_name));
  if (certificate.size() > kMaxTvsCertificate) {
    return InvalidArgument("TVS verify request: a certificate of {} bytes does not fit", certificate.size());
  }
  ByteWriter writer;
  AppendHeader(writer, TvsCommand::kVerifyRequest, session_id, 3 + device.size() + 3 + certificate.size());
  AppendElement(writer, TvsTag::kDeviceName, AsBytes(device));
  AppendElement(writer, TvsTag::kCertificate, certificate);
  return writer.Take();
}

absl::StatusOr<std::string> EncodeTvsQueryRequest(uint32_t session_id, std::string_view device_name,
                                                  std::string_view subject, std::string_view issuer,
                                                  ByteView serial_number) {
  ASSIGN_OR_RETURN(const std::string device, DeviceNameElement(device_name));
  if (subject.size() >= kMaxTvsName || issuer.size() >= kMaxTvsName || serial_number.size() > kMaxTvsSerialNumber) {
    return InvalidArgument("TVS query request: a name or the serial number does not fit");
  }
  const std::string subject_and_nul = ByteWriter().Bytes(AsBytes(subject)).U8(0).Take();
  const std::string issuer_and_nul = ByteWriter().Bytes(AsBytes(issuer)).U8(0).Take();
  ByteWriter writer;
  AppendHeader(writer, TvsCommand::kQueryRequest, session_id,
               4 * 3 + device.size() + subject_and_nul.size() + issuer_and_nul.size() + serial_number.size());
  AppendElement(writer, TvsTag::kDeviceName, AsBytes(device));
  AppendElement(writer, TvsTag::kSubjectName, AsBytes(subject_and_nul));
  AppendElement(writer, TvsTag::kIssuerName, AsBytes(issuer_and_nul));
  AppendElement(writer, TvsTag::kSerialNumber, serial_number);
  return writer.Take();
}

absl::StatusOr<TvsResponse> DecodeTvsResponse(TvsCommand command, ByteView body) {
  const std::string_view message = MessageName(command);
  if (command != TvsCommand::kVerifyResponse && command != TvsCommand::kQueryResponse) {
    return InvalidArgument("{}: a server does not send this", message);
  }
  const std::span<const ElementRule> rules = command == TvsCommand::kVerifyResponse
                                                 ? std::span<const ElementRule>(kVerifyResponseRules)
                                                 : std::span<const ElementRule>(kQueryResponseRules);
  ASSIGN_OR_RETURN(const Elements elements, Elements::Read(message, rules, body));
  ASSIGN_OR_RETURN(const ByteView status, elements.Require(TvsTag::kStatus, "status"));
  if (status[0] > kStatusInvalid) return InvalidArgument("{}: unknown status {}", message, status[0]);
  TvsResponse response{.valid = status[0] == kStatusValid};
  if (!response.valid) return response;
  if (command == TvsCommand::kQueryResponse) {
    ASSIGN_OR_RETURN(const ByteView certificate, elements.Require(TvsTag::kCertificate, "certificate"));
    response.certificate = AsText(certificate);
  }
  ASSIGN_OR_RETURN(const ByteView roles, elements.Require(TvsTag::kRoles, "roles"));
  for (uint8_t code : roles) {
    const std::optional<CertificateRole> role = CertificateRoleFromCode(code);
    if (!role) return InvalidArgument("{}: unknown role {}", message, code);
    response.roles.push_back(*role);
  }
  ASSIGN_OR_RETURN(const ByteView ttl, elements.Require(TvsTag::kTtl, "TTL"));
  ASSIGN_OR_RETURN(response.ttl_seconds, ByteReader(message, ttl).ReadU32("TTL"));
  return response;
}

}  // namespace trustline
