#include "cli/trustctl/trust_list_elements.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "absl/time/time.h"
#include "cli/trustctl/escaping.h"
#include "cli/trustctl/trust_list_words.h"
#include "common/device/certificate_role.h"
#include "common/service/time_text.h"
#include "common/x509/openssl_error.h"

namespace trustline {
namespace {

constexpr size_t kElementOverhead = 3;  // tag and length

// How a value is read.
enum class ValueKind : uint8_t { kBytes, kText, kSerial, kNumber, kVersion, kRole, kDigest, kTime, kAddress, kNested };

struct ElementForm {
  uint8_t tag;
  std::string_view name;
  ValueKind kind;
};

constexpr ElementForm kHeaderForms[] = {
    {1, "VERSION", ValueKind::kVersion},
    {2, "HEADERLENGTH", ValueKind::kNumber},
    {3, "SIGNERID", ValueKind::kNested},
    {4, "SIGNERNAME", ValueKind::kText},
    {5, "SERIALNUMBER", ValueKind::kSerial},
    {6, "CANAME", ValueKind::kText},
    {7, "SIGNATUREINFO", ValueKind::kNested},
    {8, "DIGESTALGORTITHM", ValueKind::kDigest},
    {9, "SIGNATUREALGOINFO", ValueKind::kNested},
    {10, "SIGNATUREALGORTITHM", ValueKind::kNumber},
    {11, "SIGNATUREMODULUS", ValueKind::kNumber},
    {12, "SIGNATURE", ValueKind::kBytes},
    {14, "FILENAME", ValueKind::kText},
    {15, "TIMESTAMP", ValueKind::kTime},
    // Not the vendor's names: its print-out knows no encrypted files.
    {16, "ENCRYPTIONINFO", ValueKind::kNested},
    {17, "IVINFO", ValueKind::kNested},
    {18, "IVFLAG", ValueKind::kNumber},
    {19, "IV", ValueKind::kBytes},
    {20, "PADDINGCOUNT", ValueKind::kNumber},
    {21, "KEYINFO", ValueKind::kNested},
    {22, "KEYFLAG", ValueKind::kNumber},
    {23, "KEYSIZE", ValueKind::kNumber},
    {24, "KEYALGORITHM", ValueKind::kNumber},
    {25, "ENCRYPTEDKEY", ValueKind::kBytes},
    {26, "PLAINTEXTDIGESTALGORITHM", ValueKind::kDigest},
    {27, "PLAINTEXTDIGEST", ValueKind::kBytes},
    {28, "SIGNERVERSION", ValueKind::kVersion},
};

constexpr ElementForm kRecordForms[] = {
    {1, "RECORDLENGTH", ValueKind::kNumber},    {2, "DNSNAME", ValueKind::kText},
    {3, "SUBJECTNAME", ValueKind::kText},       {4, "FUNCTION", ValueKind::kRole},
    {5, "ISSUERNAME", ValueKind::kText},        {6, "SERIALNUMBER", ValueKind::kSerial},
    {7, "PUBLICKEY", ValueKind::kBytes},        {8, "SIGNATURE", ValueKind::kBytes},
    {9, "CERTIFICATE", ValueKind::kBytes},      {10, "IPADDRESS", ValueKind::kAddress},
    {11, "CERTIFICATEHASH", ValueKind::kBytes}, {12, "HASHALGORITHM", ValueKind::kNumber},
};

uint64_t NumberOf(ByteView value) {
  uint64_t number = 0;
  for (const uint8_t byte : value) number = number << 8 | byte;
  return number;
}

std::string AddressText(ByteView value) {
  std::array<char, INET6_ADDRSTRLEN> text = {};
  const int family = value.size() == sizeof(in_addr) ? AF_INET : AF_INET6;
  if (value.size() != sizeof(in_addr) && value.size() != sizeof(in6_addr)) return ToHex(value);
  return inet_ntop(family, value.data(), text.data(), text.size()) == nullptr ? ToHex(value) : text.data();
}

std::string ValueText(ValueKind kind, ByteView value) {
  const bool is_number = !value.empty() && value.size() <= sizeof(uint32_t);
  switch (kind) {
    case ValueKind::kText: {
      std::string_view text = AsText(value);
      if (text.ends_with('\0')) text.remove_suffix(1);
      return EscapeForTerminal(text);
    }
    case ValueKind::kSerial:
      return ColonHex(value);
    case ValueKind::kVersion:
      return value.size() == 2 ? VersionText({value[0], value[1]}) : ToHex(value);
    case ValueKind::kRole:
      return value.size() == 2 ? FunctionText(static_cast<uint16_t>(NumberOf(value))) : ToHex(value);
    case ValueKind::kDigest:
      return value.size() == 1 ? DigestText(static_cast<DigestAlgorithm>(value[0])) : ToHex(value);
    case ValueKind::kTime:
      return is_number ? TimeTextSeconds(absl::FromUnixSeconds(static_cast<int64_t>(NumberOf(value)))) : ToHex(value);
    case ValueKind::kNumber:
      return is_number ? std::to_string(NumberOf(value)) : ToHex(value);
    case ValueKind::kAddress:
      return AddressText(value);
    case ValueKind::kNested:  // its elements follow
      return "";
    case ValueKind::kBytes:
      break;
  }
  return ToHex(value);
}

// Elements of encrypted files that cover others, which the reader of signed files does not look into.
constexpr uint8_t kCoversUnread[] = {16, 17, 21};
constexpr int kDeepest = 2;  // 16 covers 17, which covers 18

// The elements that `value` is made of; nothing when it is not made of elements.
std::vector<TlvPlace> PlacesIn(ByteView value, size_t offset) {
  std::vector<TlvPlace> places;
  while (!value.empty()) {
    if (value.size() < kElementOverhead) return {};
    const auto length = static_cast<uint16_t>(value[1] << 8 | value[2]);
    if (length > value.size() - kElementOverhead) return {};
    places.push_back({.tag = value[0], .length = length, .offset = offset});
    offset += kElementOverhead + length;
    value = value.subspan(kElementOverhead + length);
  }
  return places;
}

template <size_t N>
std::vector<NamedElement> Elements(const ElementForm (&forms)[N], const std::vector<TlvPlace>& places, ByteView whole) {
  std::vector<NamedElement> elements;
  for (const TlvPlace& place : places) {
    const ElementForm* const form = std::ranges::find(forms, place.tag, &ElementForm::tag);
    const bool known = form != std::end(forms);
    elements.push_back({place, std::string(known ? form->name : "UNKNOWN"),
                        ValueText(known ? form->kind : ValueKind::kBytes, ValueOf(whole, place))});
  }
  return elements;
}

// With what the elements in kCoversUnread cover behind each.
std::vector<TlvPlace> WithCovered(const std::vector<TlvPlace>& places, ByteView whole, int depth) {
  std::vector<TlvPlace> all;
  for (const TlvPlace& place : places) {
    all.push_back(place);
    if (depth == 0 || std::ranges::find(kCoversUnread, place.tag) == std::end(kCoversUnread)) continue;
    const std::vector<TlvPlace> covered =
        WithCovered(PlacesIn(ValueOf(whole, place), place.offset + kElementOverhead), whole, depth - 1);
    all.insert(all.end(), covered.begin(), covered.end());
  }
  return all;
}

}  // namespace

std::vector<NamedElement> HeaderElements(const SignedFile& file) {
  return Elements(kHeaderForms, WithCovered(file.header.places, file.whole, kDeepest), file.whole);
}

std::vector<NamedElement> RecordElements(const TrustListRecord& record, ByteView whole) {
  return Elements(kRecordForms, record.places, whole);
}

ByteView ValueOf(ByteView whole, const TlvPlace& place) {
  if (place.offset > whole.size() || whole.size() - place.offset < kElementOverhead) return {};
  const ByteView rest = whole.subspan(place.offset + kElementOverhead);
  return rest.first(std::min<size_t>(place.length, rest.size()));
}

std::string ColonHex(ByteView bytes) {
  std::string text;
  for (const uint8_t byte : bytes) text += fmt::format("{}{:02X}", text.empty() ? "" : ":", byte);
  return text;
}

std::string FunctionText(uint16_t role_code) {
  const std::optional<CertificateRole> role = CertificateRoleFromCode(role_code);
  if (!role) return fmt::format("unknown ({})", role_code);
  if (*role == CertificateRole::kSast) return "System Administrator Security Token";
  return std::string(CertificateRoleName(*role));
}

}  // namespace trustline
