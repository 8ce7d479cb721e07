#include "common/x509/distinguished_name.h"

#include <set>

#include "common/bytes/bytes.h"
#include "common/bytes/writer.h"
#include "common/status/status.h"
#include "common/x509/attribute_type.h"
#include "common/x509/name_text.h"
#include "common/x509/openssl_error.h"

namespace trustline {
namespace {

bool IsBlank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

bool IsString(int type) {
  switch (type) {
    case V_ASN1_UTF8STRING:
    case V_ASN1_PRINTABLESTRING:
    case V_ASN1_IA5STRING:
    case V_ASN1_T61STRING:
    case V_ASN1_BMPSTRING:
    case V_ASN1_UNIVERSALSTRING:
    case V_ASN1_NUMERICSTRING:
    case V_ASN1_VISIBLESTRING:
      return true;
    default:
      return false;
  }
}

absl::StatusOr<std::string> ToUtf8(const ASN1_STRING* string) {
  unsigned char* text = nullptr;
  const int size = ASN1_STRING_to_UTF8(&text, string);
  if (size < 0) return OpenSslInvalidArgument("a name has a string that is not in its own character set");
  const OpenSslBytesPtr owner(text);
  return std::string(reinterpret_cast<const char*>(text), static_cast<size_t>(size));
}

// RFC 4514, section 2.4: "#" and the hexadecimal form of the BER.
absl::StatusOr<std::string> ToHexDer(const ASN1_STRING* string) {
  ASN1_TYPE any = {};
  any.type = ASN1_STRING_type(string);
  any.value.asn1_string = const_cast<ASN1_STRING*>(string);
  unsigned char* der = nullptr;
  const int size = i2d_ASN1_TYPE(&any, &der);
  if (size < 0) return OpenSslInvalidArgument("a name has a value that cannot be encoded");
  const OpenSslBytesPtr owner(der);
  return "#" + ToHex(ByteView(der, static_cast<size_t>(size)));
}

// A "#hex" value of a text: a string again where the DER is one, otherwise kept as it is. Not an encoding: empty.
absl::StatusOr<std::optional<NameAttribute>> ReadHexValue(const std::string& oid, std::string_view text) {
  const auto der = FromHex(text.substr(1));
  if (!der.ok() || der->empty()) return std::nullopt;
  const OpenSslErrorScope errors;
  const auto* at = reinterpret_cast<const unsigned char*>(der->data());
  const Asn1TypePtr value(d2i_ASN1_TYPE(nullptr, &at, static_cast<long>(der->size())));
  if (value == nullptr || at != reinterpret_cast<const unsigned char*>(der->data()) + der->size()) return std::nullopt;
  NameAttribute attribute{.oid = oid, .value = "#" + ToHex(AsBytes(*der)), .is_text = false};
  if (IsString(value->type)) {
    ASSIGN_OR_RETURN(attribute.value, ToUtf8(value->value.asn1_string));
    attribute.is_text = true;
  }
  return attribute;
}

// ASCII lower case, and runs of blanks as one (RFC 5280, section 7.1, as far as ASCII goes).
std::string Fold(std::string_view value) {
  std::string folded;
  folded.reserve(value.size());
  for (const char c : value) {
    if (!IsBlank(c)) {
      folded.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
    } else if (!folded.empty() && folded.back() != ' ') {
      folded.push_back(' ');
    }
  }
  if (folded.ends_with(' ')) folded.pop_back();
  return folded;
}

bool IsValidUtf8(std::string_view text) {
  const auto* at = reinterpret_cast<const unsigned char*>(text.data());
  int rest = static_cast<int>(text.size());
  while (rest > 0) {
    unsigned long character = 0;
    const int size = UTF8_getc(at, rest, &character);
    if (size <= 0) return false;
    at += size;
    rest -= size;
  }
  return true;
}

}  // namespace

absl::StatusOr<DistinguishedName> DistinguishedName::FromX509Name(const X509_NAME* name) {
  DistinguishedName result;
  const int count = X509_NAME_entry_count(name);
  if (count > static_cast<int>(kMaxAttributes)) {
    return InvalidArgument("a name has {} attributes, more than {}", count, kMaxAttributes);
  }
  result.attributes_.reserve(static_cast<size_t>(count));
  int previous_set = -1;
  for (int i = 0; i < count; ++i) {
    const X509_NAME_ENTRY* entry = X509_NAME_get_entry(name, i);
    const ASN1_STRING* string = X509_NAME_ENTRY_get_data(entry);
    NameAttribute attribute;
    ASSIGN_OR_RETURN(attribute.oid, DottedOid(X509_NAME_ENTRY_get_object(entry)));
    attribute.is_text = IsString(ASN1_STRING_type(string));
    ASSIGN_OR_RETURN(attribute.value, attribute.is_text ? ToUtf8(string) : ToHexDer(string));
    attribute.joins_previous = X509_NAME_ENTRY_set(entry) == previous_set;
    previous_set = X509_NAME_ENTRY_set(entry);
    result.attributes_.push_back(std::move(attribute));
  }
  return result;
}

absl::StatusOr<DistinguishedName> DistinguishedName::FromText(std::string_view text) {
  if (text.size() > kMaxTextSize) {
    return InvalidArgument("a name of {} bytes is longer than the maximum of {}", text.size(), kMaxTextSize);
  }
  if (text.find('\0') != std::string_view::npos) return InvalidArgument("a name has a NUL in it");
  ASSIGN_OR_RETURN(const std::vector<NameTextPart> parts, SplitNameText(text));
  if (parts.size() > kMaxAttributes) {
    return InvalidArgument("a name has {} attributes, more than {}", parts.size(), kMaxAttributes);
  }
  DistinguishedName result;
  for (const NameTextPart& part : parts) {
    std::optional<NameAttribute> attribute;
    if (part.raw_value.starts_with('#')) {
      ASSIGN_OR_RETURN(attribute, ReadHexValue(part.oid, part.raw_value));
    }
    if (!attribute) attribute = NameAttribute{.oid = part.oid, .value = UnescapeNameValue(part.raw_value)};
    attribute->joins_previous = part.joins_previous;
    if (attribute->value.find('\0') != std::string::npos) return InvalidArgument("a name has a NUL in it");
    if (!IsValidUtf8(attribute->value)) return InvalidArgument("a name has a value that is not UTF-8");
    result.attributes_.push_back(*std::move(attribute));
  }
  return result;
}

absl::StatusOr<DistinguishedName> DistinguishedName::FromAttributes(
    const std::vector<std::pair<std::string_view, std::string_view>>& attributes) {
  if (attributes.size() > kMaxAttributes) {
    return InvalidArgument("a name has {} attributes, more than {}", attributes.size(), kMaxAttributes);
  }
  DistinguishedName result;
  for (const auto& [type, value] : attributes) {
    const std::optional<std::string> oid = AttributeTypeOid(type);
    if (!oid) return InvalidArgument("{} is not an attribute type of names", type);
    if (value.find('\0') != std::string_view::npos) return InvalidArgument("the value of {} has a NUL in it", type);
    if (!IsValidUtf8(value)) return InvalidArgument("the value of {} is not UTF-8", type);
    result.attributes_.push_back({.oid = *oid, .value = std::string(value)});
  }
  return result;
}

std::string DistinguishedName::ToText() const {
  std::string text;
  for (const NameAttribute& attribute : attributes_) {
    if (!text.empty()) text.push_back(attribute.joins_previous ? '+' : ',');
    text += AttributeTypeName(attribute.oid);
    text.push_back('=');
    text += attribute.is_text ? EscapeNameValue(attribute.value) : attribute.value;
  }
  return text;
}

Sha256Digest DistinguishedName::key() const {
  std::set<std::string> canonical;
  for (const NameAttribute& attribute : attributes_) {
    const std::string value = attribute.is_text ? Fold(attribute.value) : attribute.value;
    // Lengths before the parts, so that no two names run together into the same bytes.
    canonical.insert(ByteWriter(attribute.oid.size() + value.size() + 9)
                         .U8(attribute.is_text ? 1 : 0)
                         .U32(static_cast<uint32_t>(attribute.oid.size()))
                         .Bytes(AsBytes(attribute.oid))
                         .U32(static_cast<uint32_t>(value.size()))
                         .Bytes(AsBytes(value))
                         .Take());
  }
  ByteWriter all;
  for (const std::string& attribute : canonical) all.Bytes(AsBytes(attribute));
  return Sha256(AsBytes(all.Take()));
}

bool DistinguishedName::HasEmbeddedNul() const {
  for (const NameAttribute& attribute : attributes_) {
    if (attribute.value.find('\0') != std::string::npos) return true;
  }
  return false;
}

absl::StatusOr<X509NamePtr> DistinguishedName::ToX509Name() const {
  X509NamePtr name(X509_NAME_new());
  for (const NameAttribute& attribute : attributes_) {
    if (!attribute.is_text) return InvalidArgument("the value of {} in a name is not text", attribute.oid);
    const Asn1ObjectPtr type(OBJ_txt2obj(attribute.oid.c_str(), 1));
    if (type == nullptr || X509_NAME_add_entry_by_OBJ(name.get(), type.get(), MBSTRING_UTF8,
                                                      reinterpret_cast<const unsigned char*>(attribute.value.data()),
                                                      static_cast<int>(attribute.value.size()), -1,
                                                      attribute.joins_previous ? -1 : 0) != 1) {
      return OpenSslInvalidArgument(
          fmt::format("{}={} cannot stand in a name", AttributeTypeName(attribute.oid), attribute.value));
    }
  }
  return name;
}

std::string_view DistinguishedName::common_name() const {
  for (const NameAttribute& attribute : attributes_) {
    if (attribute.oid == "2.5.4.3") return attribute.value;
  }
  return {};
}

}  // namespace trustline
