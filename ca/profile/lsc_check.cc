#include "ca/profile/lsc_check.h"

#include <openssl/sha.h>
#include <openssl/x509v3.h>

#include <array>
#include <vector>

#include "absl/time/civil_time.h"
#include "common/status/status.h"
#include "common/x509/certificate_builder.h"
#include "common/x509/der.h"
#include "common/x509/signature_algorithm.h"

namespace trustline {
namespace {

using namespace std::string_view_literals;

constexpr char kStructure[] = "to-be-signed certificate";
constexpr size_t kMaxSerialSize = 20;        // RFC 5280, section 4.1.2.2
constexpr size_t kMinSerialSize = 8;         // 64 bits of it must be unguessable
constexpr size_t kMaxToBeSignedSize = 4096;  // phones keep their certificate in a buffer of a few KB
constexpr size_t kMaxCrlUrl = 255;
constexpr absl::Duration kNotInTheFuture = absl::Minutes(5);

constexpr std::string_view kCommonNameOid = "\x06\x03\x55\x04\x03"sv;
// O, OU, L, ST, C in the order in which a subject has them.
constexpr std::array<std::string_view, 5> kInheritedOids = {"\x06\x03\x55\x04\x0a"sv, "\x06\x03\x55\x04\x0b"sv,
                                                            "\x06\x03\x55\x04\x07"sv, "\x06\x03\x55\x04\x08"sv,
                                                            "\x06\x03\x55\x04\x06"sv};
constexpr std::string_view kRsaEncryption = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"sv;

absl::Status Differs(std::string_view field, std::string_view rule) {
  return FailedPrecondition("not signed: {} {}", field, rule);
}

absl::Status Expect(std::string_view field, ByteView found, ByteView expected) {
  if (AsText(found) == AsText(expected)) return absl::OkStatus();
  return Differs(field, fmt::format("is {}, not {}", ToHex(found), ToHex(expected)));
}

// RFC 5280, section 4.1.2.5: UTCTime through 2049, GeneralizedTime from then on.
std::string EncodeTime(absl::Time time) {
  const absl::CivilSecond civil = absl::ToCivilSecond(time, absl::UTCTimeZone());
  const std::string rest = fmt::format("{:02}{:02}{:02}{:02}{:02}Z", civil.month(), civil.day(), civil.hour(),
                                       civil.minute(), civil.second());
  if (civil.year() >= 1950 && civil.year() < 2050) {
    return EncodeDer(der::kUtcTime, AsBytes(fmt::format("{:02}{}", civil.year() % 100, rest)));
  }
  return EncodeDer(der::kGeneralizedTime, AsBytes(fmt::format("{:04}{}", civil.year(), rest)));
}

// The relative distinguished names of a name, each in whole.
absl::StatusOr<std::vector<ByteView>> NameParts(ByteView name) {
  DerReader outer("name", name);
  ASSIGN_OR_RETURN(const ByteView content, outer.Read("name", der::kSequence));
  RETURN_IF_ERROR(outer.AssertDone());
  std::vector<ByteView> parts;
  DerReader reader("name", content);
  while (!reader.empty()) {
    ASSIGN_OR_RETURN(const ByteView part, reader.ReadWhole("relative distinguished name", der::kSet));
    parts.push_back(part);
  }
  return parts;
}

// The type of an RDN with one attribute; empty for one with several.
absl::StatusOr<std::string_view> TypeOf(ByteView rdn) {
  DerReader set_reader("relative distinguished name", rdn);
  ASSIGN_OR_RETURN(const ByteView set, set_reader.Read("set", der::kSet));
  DerReader attributes("relative distinguished name", set);
  ASSIGN_OR_RETURN(const ByteView attribute, attributes.Read("attribute", der::kSequence));
  if (!attributes.empty()) return std::string_view();
  DerReader fields("attribute", attribute);
  ASSIGN_OR_RETURN(const ByteView type, fields.ReadWhole("type", der::kObjectIdentifier));
  return AsText(type);
}

std::string CommonName(std::string_view name) {
  std::string attribute(kCommonNameOid);
  attribute += EncodeDer(der::kUtf8String, AsBytes(name));
  return EncodeDer(der::kSet, AsBytes(EncodeDer(der::kSequence, AsBytes(attribute))));
}

absl::StatusOr<std::string> IssuerNameDer(const Certificate& issuer) {
  DerReader outer("issuer certificate", issuer.der());
  ASSIGN_OR_RETURN(const ByteView certificate, outer.Read("certificate", der::kSequence));
  DerReader parts("issuer certificate", certificate);
  ASSIGN_OR_RETURN(const ByteView tbs, parts.Read("TBSCertificate", der::kSequence));
  DerReader fields("issuer certificate", tbs);
  if (fields.NextIs(der::Context(0, true))) RETURN_IF_ERROR(fields.Read("version", der::Context(0, true)).status());
  RETURN_IF_ERROR(fields.Read("serial number", der::kInteger).status());
  RETURN_IF_ERROR(fields.Read("signature algorithm", der::kSequence).status());
  RETURN_IF_ERROR(fields.Read("issuer", der::kSequence).status());
  RETURN_IF_ERROR(fields.Read("validity", der::kSequence).status());
  ASSIGN_OR_RETURN(const ByteView subject, fields.ReadWhole("subject", der::kSequence));
  return std::string(AsText(subject));
}

absl::StatusOr<std::string> ExpectedSubject(const LscContent& content, ByteView issuer_name) {
  std::string names = CommonName(content.device.text());
  ASSIGN_OR_RETURN(const std::vector<ByteView> parts, NameParts(issuer_name));
  for (const std::string_view oid : kInheritedOids) {
    for (const ByteView part : parts) {
      ASSIGN_OR_RETURN(const std::string_view type, TypeOf(part));
      if (type == oid) names += AsText(part);
    }
  }
  return EncodeDer(der::kSequence, AsBytes(names));
}

// What a SubjectPublicKeyInfo says, as far as the profile depends on it.
struct KeyFacts {
  bool is_rsa = false;
  std::string key_id;  // SHA-1 of the key's bits (RFC 5280, section 4.2.1.2, method 1)
};

absl::StatusOr<KeyFacts> ReadKeyFacts(ByteView public_key_info) {
  DerReader outer("public key", public_key_info);
  ASSIGN_OR_RETURN(const ByteView content, outer.Read("SubjectPublicKeyInfo", der::kSequence));
  RETURN_IF_ERROR(outer.AssertDone());
  DerReader fields("public key", content);
  ASSIGN_OR_RETURN(const ByteView algorithm, fields.Read("algorithm", der::kSequence));
  ASSIGN_OR_RETURN(const ByteView bits, fields.Read("key", der::kBitString));
  RETURN_IF_ERROR(fields.AssertDone());
  if (bits.size() < 2 || bits[0] != 0) return InvalidArgument("public key: the bit string is not of whole bytes");
  KeyFacts facts;
  facts.is_rsa = AsText(algorithm).starts_with(kRsaEncryption);
  facts.key_id.resize(SHA_DIGEST_LENGTH);
  SHA1(bits.data() + 1, bits.size() - 1, reinterpret_cast<unsigned char*>(facts.key_id.data()));
  return facts;
}

struct Extension {
  std::string_view name;
  std::string_view oid;  // with identifier and length
  bool critical;
  std::string value;
};

absl::StatusOr<std::vector<Extension>> ExpectedExtensions(const LscContent& content, const Certificate& issuer) {
  ASSIGN_OR_RETURN(const KeyFacts key, ReadKeyFacts(AsBytes(content.public_key_info)));
  const auto sequence = [](const std::string& inner) { return EncodeDer(der::kSequence, AsBytes(inner)); };
  const std::string authority_key = EncodeDer(der::Context(0, false), issuer.subject_key_id());
  // DistributionPoint: [0] distributionPoint { [0] fullName { [6] uniformResourceIdentifier } }
  const std::string uri = EncodeDer(der::Context(6, false), AsBytes(content.crl_url));
  const std::string full_name = EncodeDer(der::Context(0, true), AsBytes(uri));
  const std::string point = sequence(EncodeDer(der::Context(0, true), AsBytes(full_name)));
  constexpr std::string_view kUses =
      "\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01"
      "\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02"
      "\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x05"sv;
  return std::vector<Extension>{
      {"basicConstraints", "\x06\x03\x55\x1d\x13"sv, true, std::string("\x30\x00"sv)},  // CA:FALSE is the default
      // Bits 0 and 2, or 0 and 4.
      {"keyUsage", "\x06\x03\x55\x1d\x0f"sv, true,
       std::string(key.is_rsa ? "\x03\x02\x05\xa0"sv : "\x03\x02\x03\x88"sv)},
      {"extendedKeyUsage", "\x06\x03\x55\x1d\x25"sv, false, sequence(std::string(kUses))},
      {"subjectKeyIdentifier", "\x06\x03\x55\x1d\x0e"sv, false, EncodeDer(der::kOctetString, AsBytes(key.key_id))},
      {"authorityKeyIdentifier", "\x06\x03\x55\x1d\x23"sv, false, sequence(authority_key)},
      {"cRLDistributionPoints", "\x06\x03\x55\x1d\x1f"sv, false, sequence(point)},
  };
}

absl::Status CheckExtensions(ByteView found, const std::vector<Extension>& expected) {
  DerReader outer("extensions", found);
  ASSIGN_OR_RETURN(const ByteView list, outer.Read("extensions", der::kSequence));
  RETURN_IF_ERROR(outer.AssertDone());
  DerReader reader("extensions", list);
  for (const Extension& extension : expected) {
    ASSIGN_OR_RETURN(const ByteView content, reader.Read(extension.name, der::kSequence));
    DerReader fields(extension.name, content);
    ASSIGN_OR_RETURN(const ByteView oid, fields.ReadWhole("extnID", der::kObjectIdentifier));
    if (AsText(oid) != extension.oid) return Differs(extension.name, "is not where the profile has it");
    bool critical = false;
    if (fields.NextIs(der::kBoolean)) {
      ASSIGN_OR_RETURN(const ByteView value, fields.Read("critical", der::kBoolean));
      if (AsText(value) != "\xff"sv) return Differs(extension.name, "has a criticality that is not TRUE in DER");
      critical = true;
    }
    if (critical != extension.critical) {
      return Differs(extension.name, extension.critical ? "must be critical" : "must not be critical");
    }
    ASSIGN_OR_RETURN(const ByteView value, fields.Read("extnValue", der::kOctetString));
    RETURN_IF_ERROR(Expect(extension.name, value, AsBytes(extension.value)));
    RETURN_IF_ERROR(fields.AssertDone());
  }
  return reader.AssertDone();
}

// RFC 5280 and the phones' limits, on what is intended.
absl::Status CheckContent(const LscContent& content, const Certificate& issuer, absl::Time now) {
  const std::string& serial = content.serial;
  if (serial.size() < kMinSerialSize || serial.size() > kMaxSerialSize || serial[0] == '\0') {
    return Differs("the serial number", "must have 8 to 20 octets and no leading zero");
  }
  if ((static_cast<uint8_t>(serial[0]) & 0x80) != 0 && serial.size() == kMaxSerialSize) {
    return Differs("the serial number", "would take 21 octets as a positive number");
  }
  if (content.not_before >= content.not_after) return Differs("the validity", "ends before it begins");
  if (content.not_before > now + kNotInTheFuture) return Differs("the validity", "begins in the future");
  if (content.not_after <= now) return Differs("the validity", "has ended already");
  if (content.not_after - content.not_before > kLongestLscLifetime + kClockSkewAllowance) {
    return Differs("the validity", "is longer than 1825 days");
  }
  if (content.not_after > issuer.not_after() || content.not_before < issuer.not_before()) {
    return Differs("the validity", "reaches past the issuer's");
  }
  if (content.crl_url.size() > kMaxCrlUrl || !content.crl_url.starts_with("http://") ||
      content.crl_url.find_first_not_of(
          "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:/[]@!$&'()*+"
          ",;=%") != std::string::npos) {
    return Differs("the CRL distribution point", "must be a plain http:// address of at most 255 characters");
  }
  return absl::OkStatus();
}

absl::Status CheckIssuer(const Certificate& issuer, absl::Time now) {
  constexpr uint32_t kAbsent = UINT32_MAX;
  const uint32_t usage = X509_get_key_usage(issuer.x509());
  if (!issuer.is_ca() || usage == kAbsent || (usage & KU_KEY_CERT_SIGN) == 0) {
    return Differs("the issuer", "is not an authority: CA:TRUE and keyCertSign are needed");
  }
  if (issuer.not_before() > now || issuer.not_after() < now) return Differs("the issuer", "is not valid now");
  if (issuer.subject_key_id().empty()) return Differs("the issuer", "has no subjectKeyIdentifier");
  return absl::OkStatus();
}

absl::Status CheckFields(ByteView content_bytes, const LscContent& content, const Certificate& issuer) {
  ASSIGN_OR_RETURN(const SignatureAlgorithm algorithm, SignatureAlgorithmOf(X509_get0_pubkey(issuer.x509())));
  ASSIGN_OR_RETURN(const std::string issuer_name, IssuerNameDer(issuer));
  ASSIGN_OR_RETURN(const std::string subject, ExpectedSubject(content, AsBytes(issuer_name)));
  ASSIGN_OR_RETURN(const std::vector<Extension> extensions, ExpectedExtensions(content, issuer));
  std::string serial = content.serial;
  if ((static_cast<uint8_t>(serial[0]) & 0x80) != 0) serial.insert(0, 1, '\0');  // it is positive

  DerReader fields(kStructure, content_bytes);
  ASSIGN_OR_RETURN(const ByteView version, fields.Read("version", der::Context(0, true)));
  RETURN_IF_ERROR(Expect("the version", version, AsBytes("\x02\x01\x02"sv)));
  ASSIGN_OR_RETURN(const ByteView found_serial, fields.Read("serial number", der::kInteger));
  RETURN_IF_ERROR(Expect("the serial number", found_serial, AsBytes(serial)));
  ASSIGN_OR_RETURN(const ByteView found_algorithm, fields.ReadWhole("signature algorithm", der::kSequence));
  RETURN_IF_ERROR(Expect("the signature algorithm", found_algorithm, AsBytes(algorithm.algorithm_der)));
  ASSIGN_OR_RETURN(const ByteView found_issuer, fields.ReadWhole("issuer", der::kSequence));
  RETURN_IF_ERROR(Expect("the issuer", found_issuer, AsBytes(issuer_name)));
  ASSIGN_OR_RETURN(const ByteView validity, fields.Read("validity", der::kSequence));
  RETURN_IF_ERROR(
      Expect("the validity", validity, AsBytes(EncodeTime(content.not_before) + EncodeTime(content.not_after))));
  ASSIGN_OR_RETURN(const ByteView found_subject, fields.ReadWhole("subject", der::kSequence));
  RETURN_IF_ERROR(Expect("the subject", found_subject, AsBytes(subject)));
  ASSIGN_OR_RETURN(const ByteView key, fields.ReadWhole("public key", der::kSequence));
  RETURN_IF_ERROR(Expect("the public key", key, AsBytes(content.public_key_info)));
  ASSIGN_OR_RETURN(const ByteView found_extensions, fields.Read("extensions", der::Context(3, true)));
  RETURN_IF_ERROR(CheckExtensions(found_extensions, extensions));
  return fields.AssertDone();
}

}  // namespace

absl::StatusOr<CheckedToBeSigned> CheckLsc(ByteView to_be_signed, const LscContent& content, const Certificate& issuer,
                                           absl::Time now) {
  if (to_be_signed.size() > kMaxToBeSignedSize) {
    return Differs("the certificate", fmt::format("would be larger than {} bytes", kMaxToBeSignedSize));
  }
  RETURN_IF_ERROR(CheckDer(to_be_signed));
  RETURN_IF_ERROR(CheckIssuer(issuer, now));
  RETURN_IF_ERROR(CheckContent(content, issuer, now));
  DerReader outer(kStructure, to_be_signed);
  ASSIGN_OR_RETURN(const ByteView content_bytes, outer.Read("TBSCertificate", der::kSequence));
  RETURN_IF_ERROR(outer.AssertDone());
  RETURN_IF_ERROR(CheckFields(content_bytes, content, issuer));
  return CheckedToBeSigned(std::string(AsText(to_be_signed)), issuer.public_key_sha256());
}

}  // namespace trustline
