#include "common/x509/attribute_type.h"

#include <openssl/objects.h>

#include <algorithm>
#include <array>

#include "common/x509/openssl_error.h"
#include "common/x509/openssl_ptr.h"

namespace trustline {
namespace {

struct AttributeType {
  std::string_view name;
  std::string_view oid;
};

// The first name of an OID is the one that is written; the others are what Java, Windows and OpenSSL write.
constexpr std::array kAttributeTypes = {
    AttributeType{"CN", "2.5.4.3"},
    AttributeType{"commonName", "2.5.4.3"},
    AttributeType{"O", "2.5.4.10"},
    AttributeType{"organizationName", "2.5.4.10"},
    AttributeType{"OU", "2.5.4.11"},
    AttributeType{"organizationalUnitName", "2.5.4.11"},
    AttributeType{"L", "2.5.4.7"},
    AttributeType{"localityName", "2.5.4.7"},
    AttributeType{"ST", "2.5.4.8"},
    AttributeType{"S", "2.5.4.8"},
    AttributeType{"stateOrProvinceName", "2.5.4.8"},
    AttributeType{"C", "2.5.4.6"},
    AttributeType{"countryName", "2.5.4.6"},
    AttributeType{"STREET", "2.5.4.9"},
    AttributeType{"streetAddress", "2.5.4.9"},
    AttributeType{"DC", "0.9.2342.19200300.100.1.25"},
    AttributeType{"domainComponent", "0.9.2342.19200300.100.1.25"},
    AttributeType{"UID", "0.9.2342.19200300.100.1.1"},
    AttributeType{"userId", "0.9.2342.19200300.100.1.1"},
    AttributeType{"serialNumber", "2.5.4.5"},
    AttributeType{"emailAddress", "1.2.840.113549.1.9.1"},
    AttributeType{"E", "1.2.840.113549.1.9.1"},
    AttributeType{"email", "1.2.840.113549.1.9.1"},
    AttributeType{"SN", "2.5.4.4"},
    AttributeType{"surname", "2.5.4.4"},
    AttributeType{"GN", "2.5.4.42"},
    AttributeType{"givenName", "2.5.4.42"},
    AttributeType{"title", "2.5.4.12"},
    AttributeType{"T", "2.5.4.12"},
    AttributeType{"initials", "2.5.4.43"},
    AttributeType{"generationQualifier", "2.5.4.44"},
    AttributeType{"generation", "2.5.4.44"},
    AttributeType{"dnQualifier", "2.5.4.46"},
    AttributeType{"DNQ", "2.5.4.46"},
    AttributeType{"pseudonym", "2.5.4.65"},
    AttributeType{"name", "2.5.4.41"},
    AttributeType{"description", "2.5.4.13"},
    AttributeType{"businessCategory", "2.5.4.15"},
    AttributeType{"postalCode", "2.5.4.17"},
    AttributeType{"organizationIdentifier", "2.5.4.97"},
    AttributeType{"unstructuredName", "1.2.840.113549.1.9.2"},
    AttributeType{"unstructuredAddress", "1.2.840.113549.1.9.8"},
};

char ToLower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool EqualInAnyCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return ToLower(x) == ToLower(y); });
}

}  // namespace

std::optional<std::string> AttributeTypeOid(std::string_view type) {
  for (const AttributeType& known : kAttributeTypes) {
    if (EqualInAnyCase(type, known.name)) return std::string(known.oid);
  }
  if (EqualInAnyCase(type.substr(0, 4), "OID.")) type.remove_prefix(4);
  // Longer ones exist on paper only; OpenSSL's conversion is quadratic in the length.
  constexpr size_t kMaxOidSize = 128;
  if (type.size() > kMaxOidSize || type.find('.') == std::string_view::npos) return std::nullopt;
  if (type.find_first_not_of("0123456789.") != std::string_view::npos) return std::nullopt;
  // OpenSSL takes "2..3" for 2.0.3, whose text is longer than what was read.
  if (type.starts_with('.') || type.ends_with('.') || type.find("..") != std::string_view::npos) return std::nullopt;
  const OpenSslErrorScope errors;
  const Asn1ObjectPtr object(OBJ_txt2obj(std::string(type).c_str(), 1));
  if (object == nullptr) return std::nullopt;
  absl::StatusOr<std::string> oid = DottedOid(object.get());
  if (!oid.ok()) return std::nullopt;
  return *std::move(oid);
}

std::string_view AttributeTypeName(std::string_view oid) {
  for (const AttributeType& known : kAttributeTypes) {
    if (known.oid == oid) return known.name;
  }
  return oid;
}

absl::StatusOr<std::string> DottedOid(const ASN1_OBJECT* object) {
  char text[128];
  const int size = OBJ_obj2txt(text, sizeof(text), object, 1);
  if (size <= 0) return OpenSslInvalidArgument("an object identifier cannot be read");
  if (size < static_cast<int>(sizeof(text))) return std::string(text, static_cast<size_t>(size));
  std::string longer(static_cast<size_t>(size) + 1, '\0');
  OBJ_obj2txt(longer.data(), static_cast<int>(longer.size()), object, 1);
  longer.pop_back();
  return longer;
}

}  // namespace trustline
