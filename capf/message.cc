#include "capf/message.h"

#include <algorithm>
#include <bit>
#include <concepts>

#include "absl/strings/ascii.h"
#include "common/bytes/reader.h"
#include "common/bytes/writer.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr std::string_view kNamePrefix = "CAPF ";
constexpr uint8_t kLastAuthenticationType = 4;  // MIC
constexpr uint8_t kWrappingBegin = 1;
constexpr uint8_t kWrappingFiller = 0;
constexpr size_t kWrappedRest = 2;  // filler and certificate type, which the wrapping's length counts
constexpr size_t kWrappingSize = 5;
constexpr size_t kMaxCertificateDer = kMaxCapfCertificate - kWrappingSize;
constexpr uint8_t kSudiCertificate = 0;
constexpr size_t kMaxUnusedElement = 256;
constexpr char kInPlaceOfUnprintable = '?';

struct ElementRule {
  CapfTag tag;
  std::string_view name;
  size_t minimum;
  size_t maximum;
};

constexpr ElementRule kElementRules[] = {
    {CapfTag::kReason, "reason", 1, 1},
    {CapfTag::kReasonInformation, "reason information", 0, kMaxCapfReasonInformation},
    {CapfTag::kCertificateType, "certificate type", 1, 1},
    {CapfTag::kCertificate, "certificate", kWrappingSize + 1, kMaxCapfCertificate},
    {CapfTag::kCertificateId, "certificate id", 0, kMaxUnusedElement},
    {CapfTag::kSignedData, "signed data", 1, kMaxCapfSignature},
    {CapfTag::kVersion, "version", 1, 1},
    {CapfTag::kAuthenticationType, "authentication type", 1, 1},
    {CapfTag::kPublicKey, "public key", 1, kMaxCapfPublicKey},
    {CapfTag::kKeySize, "key size", 2, 2},
    {CapfTag::kPassword, "password", 1, kMaxCapfPassword},
    {CapfTag::kRetryDelay, "retry delay", 4, 4},
    {CapfTag::kDeviceName, "device name", 2, kMaxCapfDeviceName},
    {CapfTag::kSudiData, "SUDI data", 3 * (3 + 1), kMaxCapfSudiData},
    {CapfTag::kKeyType, "key type", 1, 1},
    {CapfTag::kCurve, "curve", 1, 1},
    {CapfTag::kDigestType, "digest type", 0, kMaxUnusedElement},
    {CapfTag::kSha2SignedData, "SHA-2 signed data", 3 + 1, 3 + kMaxCapfSignature},
};

// A set of tags, one bit each.
using TagSet = uint32_t;
constexpr TagSet Tags(std::same_as<CapfTag> auto... tags) {
  return (TagSet{0} | ... | (TagSet{1} << static_cast<uint8_t>(tags)));
}
constexpr bool Has(TagSet set, CapfTag tag) { return (set & Tags(tag)) != 0; }

struct MessageRule {
  CapfCommand command;
  std::string_view name;
  TagSet required;
  TagSet optional = 0;
};

constexpr TagSet kOutcome = Tags(CapfTag::kReason);
constexpr TagSet kOutcomeText = Tags(CapfTag::kReasonInformation);
constexpr MessageRule kMessageRules[] = {
    {CapfCommand::kAuthenticationRequest, "CAPF authentication request",
     Tags(CapfTag::kVersion, CapfTag::kAuthenticationType)},
    {CapfCommand::kAuthenticationResponse, "CAPF authentication response",
     kOutcome | Tags(CapfTag::kVersion, CapfTag::kDeviceName),
     kOutcomeText | Tags(CapfTag::kPassword, CapfTag::kCertificate, CapfTag::kCertificateId, CapfTag::kSignedData,
                         CapfTag::kDigestType, CapfTag::kSha2SignedData, CapfTag::kSudiData)},
    {CapfCommand::kKeyGenerateRequest, "CAPF key generate request", Tags(CapfTag::kKeyType),
     Tags(CapfTag::kKeySize, CapfTag::kCurve)},
    {CapfCommand::kKeyGenerateResponse, "CAPF key generate response", 0,
     kOutcome | kOutcomeText | Tags(CapfTag::kPublicKey)},
    {CapfCommand::kStoreCertificateRequest, "CAPF store certificate request",
     Tags(CapfTag::kCertificateType, CapfTag::kCertificate), Tags(CapfTag::kCertificateId)},
    {CapfCommand::kStoreCertificateResponse, "CAPF store certificate response", kOutcome, kOutcomeText},
    {CapfCommand::kFetchCertificateRequest, "CAPF fetch certificate request", 0},
    {CapfCommand::kFetchCertificateResponse, "CAPF fetch certificate response", kOutcome,
     kOutcomeText | Tags(CapfTag::kCertificate, CapfTag::kCertificateId)},
    {CapfCommand::kDeleteCertificateRequest, "CAPF delete certificate request", 0},
    {CapfCommand::kDeleteCertificateResponse, "CAPF delete certificate response", kOutcome, kOutcomeText},
    {CapfCommand::kEndSession, "CAPF end session", kOutcome, kOutcomeText},
    {CapfCommand::kRetryLater, "CAPF retry later", Tags(CapfTag::kRetryDelay)},
    {CapfCommand::kRequestInProgress, "CAPF request in progress", 0},
};

constexpr size_t LongestBody() {
  size_t longest = 0;
  for (const MessageRule& message : kMessageRules) {
    size_t body = 0;
    for (const ElementRule& element : kElementRules) {
      if (Has(message.required | message.optional, element.tag)) body += 3 + element.maximum;
    }
    longest = std::max(longest, body);
  }
  return longest;
}
static_assert(LongestBody() <= kMaxCapfBody);

const MessageRule* FindMessage(CapfCommand command) {
  const auto* rule = std::ranges::find(kMessageRules, command, &MessageRule::command);
  return rule == std::end(kMessageRules) ? nullptr : rule;
}

const ElementRule* FindElement(const MessageRule& message, uint8_t tag) {
  const auto* rule =
      std::ranges::find_if(kElementRules, [&](const ElementRule& r) { return static_cast<uint8_t>(r.tag) == tag; });
  const bool found = rule != std::end(kElementRules) && Has(message.required | message.optional, rule->tag);
  return found ? rule : nullptr;
}

bool IsDeviceNameCharacter(char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.'; }

std::string Printable(std::string_view text) {
  if (text.ends_with('\0')) text.remove_suffix(1);
  std::string printable(text);
  std::ranges::replace_if(
      printable, [](char c) { return !absl::ascii_isprint(c); }, kInPlaceOfUnprintable);
  return printable;
}

// Reads the values of one message's elements.
class ValueReader {
 public:
  ValueReader(std::string_view message, CapfElements& elements) : message_(message), elements_(elements) {}

  absl::Status Read(const ElementRule& element, ByteView value) {
    name_ = element.name;
    ByteReader reader(message_, value);
    switch (element.tag) {
      case CapfTag::kReason:
        return Keep(reader.ReadU8(name_), elements_.reason);
      case CapfTag::kReasonInformation:
        elements_.reason_information = Printable(AsText(value));
        return absl::OkStatus();
      case CapfTag::kCertificateType:
        return Keep(OneOf(value[0], CapfCertificateType::kLsc, CapfCertificateType::kMic), elements_.certificate_type);
      case CapfTag::kCertificate:
        return Keep(ReadCertificate(reader), elements_.certificate);
      case CapfTag::kSignedData:
        elements_.signed_data = AsText(value);
        return absl::OkStatus();
      case CapfTag::kVersion:
        return Keep(OneOf(value[0], kCapfVersion, kCapfVersion), elements_.version);
      case CapfTag::kAuthenticationType:
        return Keep(OneOf(value[0], uint8_t{0}, kLastAuthenticationType), elements_.authentication_type);
      case CapfTag::kPublicKey:
        elements_.public_key = AsText(value);
        return absl::OkStatus();
      case CapfTag::kKeySize:
        return Keep(reader.ReadU16(name_), elements_.key_size);
      case CapfTag::kPassword:
        return Keep(ReadPassword(AsText(value)), elements_.password);
      case CapfTag::kRetryDelay:
        return Keep(reader.ReadU32(name_), elements_.retry_delay);
      case CapfTag::kDeviceName:
        return Keep(ReadDeviceName(AsText(value)), elements_.device_name);
      case CapfTag::kSudiData:
        return Keep(ReadSudiData(reader), elements_.sudi_data);
      case CapfTag::kKeyType:
        return Keep(OneOf(value[0], CapfKeyType::kRsa, CapfKeyType::kEc), elements_.key_type);
      case CapfTag::kCurve:
        return Keep(OneOf(value[0], CapfCurve::kSecp256r1, CapfCurve::kSecp521r1), elements_.curve);
      case CapfTag::kSha2SignedData:
        return Keep(ReadSignature(reader), elements_.sha2_signed_data);
      case CapfTag::kCertificateId:
      case CapfTag::kDigestType:
        return absl::OkStatus();
    }
    return InvalidArgument("{}: unknown element", message_);
  }

 private:
  template <typename T>
  static absl::Status Keep(absl::StatusOr<T> value, std::optional<T>& place) {
    if (!value.ok()) return std::move(value).status();
    place = *std::move(value);
    return absl::OkStatus();
  }

  template <typename T>
  absl::StatusOr<T> OneOf(uint8_t value, T first, T last) const {
    if (value < static_cast<uint8_t>(first) || value > static_cast<uint8_t>(last)) {
      return InvalidArgument("{}: unknown {} {}", message_, name_, value);
    }
    return static_cast<T>(value);
  }

  absl::StatusOr<CapfCertificate> ReadCertificate(ByteReader& reader) const {
    ASSIGN_OR_RETURN(const uint8_t begin, reader.ReadU8(name_));
    ASSIGN_OR_RETURN(const uint16_t length, reader.ReadU16(name_));
    if (begin != kWrappingBegin || length != reader.remaining()) {
      return InvalidArgument("{}: {} is not wrapped as certificates are", message_, name_);
    }
    ASSIGN_OR_RETURN(const uint8_t filler, reader.ReadU8(name_));
    ASSIGN_OR_RETURN(const uint8_t type, reader.ReadU8(name_));
    if (filler != kWrappingFiller) {
      return InvalidArgument("{}: {} is not wrapped as certificates are", message_, name_);
    }
    CapfCertificate certificate;
    ASSIGN_OR_RETURN(certificate.type, OneOf(type, CapfCertificateType::kLsc, CapfCertificateType::kMic));
    ASSIGN_OR_RETURN(const ByteView der, reader.ReadBytes(name_, reader.remaining()));
    certificate.der = AsText(der);
    return certificate;
  }

  // One byte that says what it is, and a value with its length, which is not empty.
  absl::StatusOr<std::string> ReadMarked(ByteReader& reader, uint8_t mark, size_t maximum) const {
    ASSIGN_OR_RETURN(const uint8_t found, reader.ReadU8(name_));
    if (found != mark) return InvalidArgument("{}: a part of the {} begins with {}", message_, name_, found);
    ASSIGN_OR_RETURN(const ByteView value, reader.ReadBytesWithU16Length(name_, maximum));
    if (value.empty()) return InvalidArgument("{}: a part of the {} is empty", message_, name_);
    return std::string(AsText(value));
  }

  absl::StatusOr<CapfSignature> ReadSignature(ByteReader& reader) const {
    CapfSignature signature;
    ASSIGN_OR_RETURN(signature.signature,
                     ReadMarked(reader, static_cast<uint8_t>(CapfDigest::kSha512), kMaxCapfSignature));
    RETURN_IF_ERROR(reader.AssertDone());
    return signature;
  }

  absl::StatusOr<CapfSudiData> ReadSudiData(ByteReader& reader) const {
    CapfSudiData sudi;
    ASSIGN_OR_RETURN(sudi.certificate, ReadMarked(reader, kSudiCertificate, kMaxCertificateDer));
    ASSIGN_OR_RETURN(sudi.sha1_signature,
                     ReadMarked(reader, static_cast<uint8_t>(CapfDigest::kSha1), kMaxCapfSignature));
    ASSIGN_OR_RETURN(sudi.sha512_signature,
                     ReadMarked(reader, static_cast<uint8_t>(CapfDigest::kSha512), kMaxCapfSignature));
    RETURN_IF_ERROR(reader.AssertDone());
    return sudi;
  }

  absl::StatusOr<std::string_view> WithoutNul(std::string_view text) const {
    if (!text.ends_with('\0')) return InvalidArgument("{}: no NUL at the end of the {}", message_, name_);
    return text.substr(0, text.size() - 1);
  }

  absl::StatusOr<SecretBytes> ReadPassword(std::string_view value) const {
    ASSIGN_OR_RETURN(const std::string_view text, WithoutNul(value));
    if (!std::ranges::all_of(text, absl::ascii_isprint)) {
      return InvalidArgument("{}: the {} has characters that cannot be printed", message_, name_);
    }
    return SecretBytes(text);
  }

  absl::StatusOr<std::string> ReadDeviceName(std::string_view value) const {
    ASSIGN_OR_RETURN(const std::string_view text, WithoutNul(value));
    if (!std::ranges::all_of(text, IsDeviceNameCharacter)) {
      return InvalidArgument("{}: the {} has other characters than letters, digits, '-', '_' and '.'", message_, name_);
    }
    return std::string(text);
  }

  const std::string_view message_;
  CapfElements& elements_;
  std::string_view name_;
};

// What one element demands of another.
absl::Status CheckTogether(const MessageRule& message, const CapfElements& elements) {
  if (message.command == CapfCommand::kKeyGenerateRequest) {
    const bool rsa = elements.key_type == CapfKeyType::kRsa;
    if (elements.key_size.has_value() != rsa || elements.curve.has_value() == rsa) {
      return InvalidArgument("{}: an RSA key has a key size, and an EC key a curve", message.name);
    }
  }
  if (message.command == CapfCommand::kKeyGenerateResponse && !elements.public_key && !elements.reason) {
    return InvalidArgument("{}: neither a public key nor a reason", message.name);
  }
  if (message.command == CapfCommand::kStoreCertificateRequest &&
      elements.certificate_type != elements.certificate->type) {
    return InvalidArgument("{}: certificate type and certificate do not agree", message.name);
  }
  return absl::OkStatus();
}

// Writes the elements of one message, in the order of its calls.
class ElementWriter {
 public:
  explicit ElementWriter(const MessageRule& message) : message_(message) {}

  void Add(CapfTag tag, std::string_view value) {
    if (!status_.ok()) return;
    const ElementRule* element = FindElement(message_, static_cast<uint8_t>(tag));
    if (element == nullptr) {
      status_ = InvalidArgument("{}: has no element with tag {}", message_.name, static_cast<uint8_t>(tag));
    } else if (value.size() < element->minimum || value.size() > element->maximum) {
      status_ = InvalidArgument("{}: {} of {} bytes does not fit", message_.name, element->name, value.size());
    } else {
      body_.U8(static_cast<uint8_t>(tag)).U16(static_cast<uint16_t>(value.size())).Bytes(AsBytes(value));
    }
  }
  void AddByte(CapfTag tag, uint8_t value) { Add(tag, ByteWriter().U8(value).Take()); }

  absl::StatusOr<std::string> Take() {
    RETURN_IF_ERROR(status_);
    return body_.Take();
  }

 private:
  const MessageRule& message_;
  absl::Status status_;
  ByteWriter body_;
};

// Lengths that do not fit into two bytes are refused afterwards by the element's maximum.
std::string Marked(uint8_t mark, std::string_view value) {
  return ByteWriter().U8(mark).U16(static_cast<uint16_t>(value.size())).Bytes(AsBytes(value)).Take();
}

std::string Wrapped(const CapfCertificate& certificate) {
  return ByteWriter(kWrappingSize + certificate.der.size())
      .U8(kWrappingBegin)
      .U16(static_cast<uint16_t>(certificate.der.size() + kWrappedRest))
      .U8(kWrappingFiller)
      .U8(static_cast<uint8_t>(certificate.type))
      .Bytes(AsBytes(certificate.der))
      .Take();
}

std::string SudiValue(const CapfSudiData& sudi) {
  return Marked(kSudiCertificate, sudi.certificate) +
         Marked(static_cast<uint8_t>(CapfDigest::kSha1), sudi.sha1_signature) +
         Marked(static_cast<uint8_t>(CapfDigest::kSha512), sudi.sha512_signature);
}

}  // namespace

std::string_view CapfCommandName(CapfCommand command) {
  const MessageRule* message = FindMessage(command);
  return message == nullptr ? "unknown message" : message->name.substr(kNamePrefix.size());
}

absl::StatusOr<CapfHeader> DecodeCapfHeader(ByteView bytes) {
  ByteReader reader("CAPF header", bytes);
  ASSIGN_OR_RETURN(const uint8_t protocol_id, reader.ReadU8("protocol id"));
  if (protocol_id != kCapfProtocolId) return InvalidArgument("CAPF header: protocol id {} is not 85", protocol_id);
  ASSIGN_OR_RETURN(const uint8_t command, reader.ReadU8("command"));
  CapfHeader header{.command = static_cast<CapfCommand>(command)};
  if (FindMessage(header.command) == nullptr) return InvalidArgument("CAPF header: unknown command {}", command);
  ASSIGN_OR_RETURN(header.session_id, reader.ReadU32("session id"));
  ASSIGN_OR_RETURN(header.body_length, reader.ReadU16("length"));
  if (header.body_length > kMaxCapfBody) {
    return InvalidArgument("CAPF header: a body of {} bytes is longer than the maximum of {}", header.body_length,
                           kMaxCapfBody);
  }
  RETURN_IF_ERROR(reader.AssertDone());
  return header;
}

absl::StatusOr<CapfElements> DecodeCapfBody(CapfCommand command, ByteView body) {
  const MessageRule* message = FindMessage(command);
  if (message == nullptr) return InvalidArgument("CAPF: unknown command {}", static_cast<uint8_t>(command));
  CapfElements elements;
  ValueReader values(message->name, elements);
  ByteReader reader(message->name, body);
  TagSet found = 0;
  while (!reader.empty()) {
    ASSIGN_OR_RETURN(const uint8_t tag, reader.ReadU8("element tag"));
    const ElementRule* element = FindElement(*message, tag);
    if (element == nullptr) return InvalidArgument("{}: has no element with tag {}", message->name, tag);
    ASSIGN_OR_RETURN(const ByteView value, reader.ReadBytesWithU16Length(element->name, element->maximum));
    if (value.size() < element->minimum) {
      return InvalidArgument("{}: {} of {} bytes is too short", message->name, element->name, value.size());
    }
    if (Has(found, element->tag)) return InvalidArgument("{}: {} stands twice", message->name, element->name);
    found |= Tags(element->tag);
    RETURN_IF_ERROR(values.Read(*element, value));
  }
  if (const TagSet missing = message->required & ~found; missing != 0) {
    const auto tag = static_cast<uint8_t>(std::countr_zero(missing));
    return InvalidArgument("{}: no {}", message->name, FindElement(*message, tag)->name);
  }
  RETURN_IF_ERROR(CheckTogether(*message, elements));
  return elements;
}

absl::StatusOr<std::string> EncodeCapfMessage(CapfCommand command, uint32_t session_id, const CapfElements& elements) {
  const MessageRule* message = FindMessage(command);
  if (message == nullptr) return InvalidArgument("CAPF: unknown command {}", static_cast<uint8_t>(command));
  ElementWriter writer(*message);
  if (const auto& e = elements.reason) writer.AddByte(CapfTag::kReason, *e);
  if (const auto& e = elements.reason_information) writer.Add(CapfTag::kReasonInformation, Printable(*e));
  if (const auto& e = elements.certificate_type) writer.AddByte(CapfTag::kCertificateType, static_cast<uint8_t>(*e));
  if (const auto& e = elements.certificate) writer.Add(CapfTag::kCertificate, Wrapped(*e));
  if (const auto& e = elements.signed_data) writer.Add(CapfTag::kSignedData, *e);
  if (const auto& e = elements.version) writer.AddByte(CapfTag::kVersion, *e);
  if (const auto& e = elements.authentication_type) writer.AddByte(CapfTag::kAuthenticationType, *e);
  if (const auto& e = elements.public_key) writer.Add(CapfTag::kPublicKey, *e);
  if (const auto& e = elements.key_size) writer.Add(CapfTag::kKeySize, ByteWriter().U16(*e).Take());
  if (const auto& e = elements.password) {
    writer.Add(CapfTag::kPassword, ByteWriter().Bytes(AsBytes(e->ExposeSecret())).U8(0).Take());
  }
  if (const auto& e = elements.retry_delay) writer.Add(CapfTag::kRetryDelay, ByteWriter().U32(*e).Take());
  if (const auto& e = elements.device_name) writer.Add(CapfTag::kDeviceName, *e + '\0');
  if (const auto& e = elements.sudi_data) writer.Add(CapfTag::kSudiData, SudiValue(*e));
  if (const auto& e = elements.key_type) writer.AddByte(CapfTag::kKeyType, static_cast<uint8_t>(*e));
  if (const auto& e = elements.curve) writer.AddByte(CapfTag::kCurve, static_cast<uint8_t>(*e));
  if (const auto& e = elements.sha2_signed_data) {
    writer.Add(CapfTag::kSha2SignedData, Marked(static_cast<uint8_t>(e->digest), e->signature));
  }
  ASSIGN_OR_RETURN(const std::string body, writer.Take());
  // What the other side would refuse does not leave.
  RETURN_IF_ERROR(DecodeCapfBody(command, AsBytes(body)).status());
  return ByteWriter(kCapfHeaderSize + body.size())
      .U8(kCapfProtocolId)
      .U8(static_cast<uint8_t>(command))
      .U32(session_id)
      .U16(static_cast<uint16_t>(body.size()))
      .Bytes(AsBytes(body))
      .Take();
}

}  // namespace trustline
