#include "itl/trust_list/reader.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <utility>

#include "common/bytes/reader.h"
#include "common/status/status.h"
#include "common/x509/openssl_error.h"
#include "common/x509/openssl_ptr.h"

namespace trustline {
namespace {

enum class Field : uint8_t {
  kRecordLength = 1,
  kDnsName = 2,
  kSubject = 3,
  kRole = 4,
  kIssuer = 5,
  kSerial = 6,
  kPublicKey = 7,
  kSignature = 8,
  kCertificate = 9,
  kIpAddress = 10,
  kHash = 11,
  kHashAlgorithm = 12,
};
constexpr size_t kLastField = 12;
constexpr size_t kRecordLengthElement = 3 + 2;

struct FieldRule {
  std::string_view name;
  size_t minimum;
  size_t maximum;
};
// By tag; tag 0 has none.
constexpr std::array<FieldRule, kLastField + 1> kRules = {{
    {"nothing", 0, 0},
    {"record length", 2, 2},
    {"DNS name", 0, 256},
    {"subject name", 1, kMaxSignerNameText + 1},
    {"role", 2, 2},
    {"issuer name", 1, kMaxSignerNameText + 1},
    {"serial number", 1, kMaxSignerSerial},
    {"public key", 1, kMaxCertificateSize},
    {"signature", 1, kMaxCertificateSize},
    {"certificate", 1, kMaxCertificateSize},
    {"IP address", 4, 16},
    {"certificate hash", 1, 64},
    {"hash algorithm", 1, 4},
}};

// The elements of one record by their tags.
class Fields {
 public:
  explicit Fields(std::string_view record) : record_(record) {}

  absl::Status Read(ByteView bytes, size_t offset, TrustListRecord& record) {
    ByteReader reader(record_, bytes);
    while (!reader.empty()) {
      TlvPlace place = {.offset = offset + bytes.size() - reader.remaining()};
      ASSIGN_OR_RETURN(place.tag, reader.ReadU8("tag"));
      const bool known = place.tag >= 1 && place.tag <= kLastField;
      if (known && !record.extra.empty()) {
        return InvalidArgument("{}: {} after elements that are not known", record_, kRules[place.tag].name);
      }
      const FieldRule rule = known ? kRules[place.tag] : FieldRule{"element", 0, bytes.size()};
      ASSIGN_OR_RETURN(const ByteView value, reader.ReadBytesWithU16Length(rule.name, rule.maximum));
      if (value.size() < rule.minimum) {
        return InvalidArgument("{}: {} of {} bytes is too short", record_, rule.name, value.size());
      }
      place.length = static_cast<uint16_t>(value.size());
      record.places.push_back(place);
      if (!known) {
        record.extra.push_back({.tag = place.tag, .value = std::string(AsText(value))});
      } else if (values_[place.tag]) {
        return InvalidArgument("{}: {} stands twice", record_, rule.name);
      } else {
        values_[place.tag] = value;
      }
    }
    return absl::OkStatus();
  }

  bool Has(Field field) const { return values_[static_cast<size_t>(field)].has_value(); }
  bool HasAny(std::initializer_list<Field> fields) const {
    return std::ranges::any_of(fields, [&](Field field) { return Has(field); });
  }

  absl::StatusOr<ByteView> Require(Field field) const {
    if (Has(field)) return *values_[static_cast<size_t>(field)];
    return InvalidArgument("{}: no {}", record_, NameOf(field));
  }
  std::string BytesOrEmpty(Field field) const {
    return Has(field) ? std::string(AsText(*values_[static_cast<size_t>(field)])) : std::string();
  }
  absl::StatusOr<std::string> RequireText(Field field) const {
    ASSIGN_OR_RETURN(const ByteView value, Require(field));
    std::string_view text = AsText(value);
    if (!text.ends_with('\0')) return InvalidArgument("{}: {} does not end with a NUL", record_, NameOf(field));
    text.remove_suffix(1);
    if (text.find('\0') != std::string_view::npos) {
      return InvalidArgument("{}: NUL inside the {}", record_, NameOf(field));
    }
    return std::string(text);
  }

 private:
  static std::string_view NameOf(Field field) { return kRules[static_cast<size_t>(field)].name; }

  std::string_view record_;
  std::array<std::optional<ByteView>, kLastField + 1> values_;
};

absl::Status ReadAddressing(std::string_view name, const Fields& fields, TrustListRecord& record) {
  if (fields.Has(Field::kDnsName)) {
    // Blanked records have a name of no bytes, others a NUL at least.
    record.dns_name = fields.BytesOrEmpty(Field::kDnsName);
    if (!record.dns_name->empty()) {
      ASSIGN_OR_RETURN(record.dns_name, fields.RequireText(Field::kDnsName));
    }
  }
  if (fields.Has(Field::kIpAddress)) {
    const std::string address = fields.BytesOrEmpty(Field::kIpAddress);
    if (address.size() != 4 && address.size() != 16) {
      return InvalidArgument("{}: an IP address of {} bytes; 4 and 16 can be", name, address.size());
    }
    std::array<char, INET6_ADDRSTRLEN> text = {};
    inet_ntop(address.size() == 4 ? AF_INET : AF_INET6, address.data(), text.data(), text.size());
    record.ip_address = text.data();
  }
  return absl::OkStatus();
}

absl::Status ReadCertificate(std::string_view name, const Fields& fields, TrustListRecord& record) {
  ASSIGN_OR_RETURN(record.subject, fields.RequireText(Field::kSubject));
  ASSIGN_OR_RETURN(record.issuer, fields.RequireText(Field::kIssuer));
  RETURN_IF_ERROR(fields.Require(Field::kSerial).status());
  record.serial = fields.BytesOrEmpty(Field::kSerial);
  record.public_key = fields.BytesOrEmpty(Field::kPublicKey);
  record.signature = fields.BytesOrEmpty(Field::kSignature);

  // Without the certificate: its hash.
  if (!fields.Has(Field::kCertificate)) {
    RETURN_IF_ERROR(fields.Require(Field::kHash).status());
    RETURN_IF_ERROR(fields.Require(Field::kHashAlgorithm).status());
    record.certificate_hash = fields.BytesOrEmpty(Field::kHash);
    record.hash_algorithm = fields.BytesOrEmpty(Field::kHashAlgorithm);
    return absl::OkStatus();
  }
  if (fields.HasAny({Field::kHash, Field::kHashAlgorithm})) {
    return InvalidArgument("{}: a certificate and a hash in its place", name);
  }
  RETURN_IF_ERROR(fields.Require(Field::kPublicKey).status());
  RETURN_IF_ERROR(fields.Require(Field::kSignature).status());
  ASSIGN_OR_RETURN(const ByteView der, fields.Require(Field::kCertificate));
  absl::StatusOr<Certificate> certificate = Certificate::FromDer(der);
  if (!certificate.ok()) return Annotate(certificate.status(), name);
  record.certificate = *std::move(certificate);
  return absl::OkStatus();
}

absl::StatusOr<TrustListRecord> ReadRecord(std::string_view name, ByteView bytes, size_t offset) {
  TrustListRecord record;
  record.record_length = static_cast<uint16_t>(bytes.size());
  Fields fields(name);
  RETURN_IF_ERROR(fields.Read(bytes, offset, record));
  ASSIGN_OR_RETURN(const ByteView role, fields.Require(Field::kRole));
  ASSIGN_OR_RETURN(record.role_code, ByteReader(name, role).ReadU16("role"));
  RETURN_IF_ERROR(ReadAddressing(name, fields, record));
  const bool blank = !fields.HasAny({Field::kSubject, Field::kIssuer, Field::kSerial, Field::kPublicKey,
                                     Field::kSignature, Field::kCertificate, Field::kHash, Field::kHashAlgorithm});
  if (!blank) RETURN_IF_ERROR(ReadCertificate(name, fields, record));
  return record;
}

// The bytes of the next record, whose first element says how many there are.
absl::StatusOr<ByteView> NextRecord(std::string_view name, ByteView rest) {
  ByteReader reader(name, rest);
  ASSIGN_OR_RETURN(const uint8_t tag, reader.ReadU8("tag"));
  if (tag != static_cast<uint8_t>(Field::kRecordLength)) {
    return InvalidArgument("{}: tag {} where its length (tag 1) has its place", name, tag);
  }
  ASSIGN_OR_RETURN(const ByteView value, reader.ReadBytesWithU16Length("record length", 2));
  ASSIGN_OR_RETURN(const uint16_t length, ByteReader(name, value).ReadU16("record length"));
  if (length < kRecordLengthElement || length > rest.size()) {
    return InvalidArgument("{}: a length of {} where {} bytes are left", name, length, rest.size());
  }
  return rest.first(length);
}

absl::Status Contradicts(size_t number, std::string_view field, const Certificate& certificate) {
  return DataLoss("record {}: its {} is not that of its certificate ({})", number, field,
                  certificate.subject().ToText());
}

// The record says what its certificate says. Blanked records and those with a hash have nothing to compare with.
absl::Status CheckRecord(size_t number, const TrustListRecord& record) {
  if (!record.certificate) return absl::OkStatus();
  const Certificate& certificate = *record.certificate;
  if (!NamesTheSame(record.subject, certificate.subject())) return Contradicts(number, "subject name", certificate);
  if (!NamesTheSame(record.issuer, certificate.issuer())) return Contradicts(number, "issuer name", certificate);
  if (AsText(CanonicalSerial(AsBytes(record.serial))) != AsText(certificate.serial())) {
    return Contradicts(number, "serial number", certificate);
  }
  const auto is = [](const ASN1_BIT_STRING* bits, std::string_view bytes) {
    return bits != nullptr &&
           AsText(ByteView(ASN1_STRING_get0_data(bits), static_cast<size_t>(ASN1_STRING_length(bits)))) == bytes;
  };
  // The key's bits are the RSAPublicKey (RFC 3279, section 2.3.1) or the point (RFC 5480, section 2.2).
  if (!is(X509_get0_pubkey_bitstr(certificate.x509()), record.public_key)) {
    return Contradicts(number, "public key", certificate);
  }
  const ASN1_BIT_STRING* signature = nullptr;
  X509_get0_signature(&signature, nullptr, certificate.x509());
  if (!is(signature, record.signature)) return Contradicts(number, "signature", certificate);
  return absl::OkStatus();
}

absl::Status CheckRecords(const TrustList& list) {
  for (size_t i = 0; i < list.records.size(); ++i) RETURN_IF_ERROR(CheckRecord(i + 1, list.records[i]));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TrustList> DecodeTrustList(ByteView bytes) {
  if (bytes.size() > kMaxReadableTrustListSize) {
    return InvalidArgument("a trust list of {} bytes is larger than {}, the most that is read; phones load {} at most",
                           bytes.size(), kMaxReadableTrustListSize, kMaxTrustListSize);
  }
  TrustList list;
  list.bytes = std::make_shared<const std::string>(AsText(bytes));
  ASSIGN_OR_RETURN(list.file, ReadSignedFile(AsBytes(*list.bytes)));
  // Signers sign other files too: one of those must not pass for a list.
  const FileVersion version = list.header().version;
  if (version != kTrustListVersion) {
    return InvalidArgument("not a trust list: version {}.{} instead of 1.2", version.major, version.minor);
  }
  size_t offset = list.header().header_length;
  for (ByteView rest = list.file.payload; !rest.empty();) {
    const std::string name = fmt::format("record {}", list.records.size() + 1);
    ASSIGN_OR_RETURN(const ByteView record_bytes, NextRecord(name, rest));
    ASSIGN_OR_RETURN(TrustListRecord record, ReadRecord(name, record_bytes, offset));
    list.records.push_back(std::move(record));
    rest = rest.subspan(record_bytes.size());
    offset += record_bytes.size();
  }
  if (list.records.empty()) return InvalidArgument("a trust list without records");
  return list;
}

absl::StatusOr<Certificate> VerifyTrustList(const TrustList& list) {
  absl::Status error = NotFound(
      "no SAST record of the trust list has the certificate of its signer, with serial number {}; phones cannot verify "
      "it",
      ToHex(AsBytes(list.header().serial)));
  for (const TrustListRecord& record : list.records) {
    if (record.role() != CertificateRole::kSast || !record.certificate) continue;
    if (!NamesAsSigner(list.header(), *record.certificate)) continue;
    error = VerifyTrustListWith(list, *record.certificate);
    if (error.ok()) return *record.certificate;
  }
  return error;
}

absl::Status VerifyTrustListWith(const TrustList& list, const Certificate& signer) {
  const OpenSslErrorScope errors;
  RETURN_IF_ERROR(VerifySignature(list.file, signer));
  return CheckRecords(list);
}

}  // namespace trustline
