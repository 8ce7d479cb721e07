#include "common/x509/public_key.h"

#include <openssl/core_names.h>
#include <openssl/objects.h>

#include "common/status/status.h"
#include "common/x509/der.h"
#include "common/x509/openssl_error.h"

namespace trustline {
namespace {

constexpr int kMinRsaBits = 2048;
// Beyond that one handshake of a peer costs us more than a hundred of RSA 2048.
constexpr int kMaxRsaBits = 8192;

// The SECG name of an EC key's curve, as phones' documentation has it, also when its parameters are written out; empty
// when they are those of no known curve.
std::string CurveName(const EVP_PKEY* key) {
  char name[64] = {};
  size_t size = 0;
  if (EVP_PKEY_get_group_name(key, name, sizeof(name), &size) != 1) return "";
  const std::string_view group(name, size);
  if (group == SN_X9_62_prime256v1) return "secp256r1";
  return std::string(group);
}

absl::StatusOr<std::string> Encode(const EVP_PKEY* key) {
  if (key == nullptr) return InvalidArgument("the public key cannot be read");
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  const OpenSslBytesPtr owner(der);
  if (size <= 0) return OpenSslInternal("the public key cannot be encoded");
  return std::string(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
}

absl::Status NotCanonical(std::string_view why) {
  return InvalidArgument("the public key is not in its one canonical form: {}", why);
}

// What OpenSSL would write for the key. For the two kinds that are certified the bytes themselves tell, which spares
// encoding and parsing the key once more.
absl::Status CheckCanonical(ByteView der, const EVP_PKEY* key) {
  using namespace std::string_view_literals;
  constexpr std::string_view kRsaEncryption = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"sv;  // 1.2.840.113549.1.1.1
  constexpr std::string_view kEcPublicKey = "\x2a\x86\x48\xce\x3d\x02\x01"sv;            // 1.2.840.10045.2.1
  constexpr std::string_view kNull = "\x05\x00"sv;
  constexpr uint8_t kUncompressed = 0x04;  // RFC 5480, section 2.2

  DerReader outer("public key", der);
  ASSIGN_OR_RETURN(const ByteView content, outer.Read("SubjectPublicKeyInfo", der::kSequence));
  RETURN_IF_ERROR(outer.AssertDone());
  DerReader parts("public key", content);
  ASSIGN_OR_RETURN(const ByteView algorithm, parts.Read("algorithm", der::kSequence));
  ASSIGN_OR_RETURN(const ByteView bits, parts.Read("key", der::kBitString));
  RETURN_IF_ERROR(parts.AssertDone());
  const ByteView key_bytes = bits.empty() ? bits : bits.subspan(1);
  const std::string rsa_algorithm = EncodeDer(der::kObjectIdentifier, AsBytes(kRsaEncryption)) + std::string(kNull);
  const bool whole_bytes = !bits.empty() && bits.front() == 0;

  if (AsText(algorithm) == rsa_algorithm) {
    if (!whole_bytes) return NotCanonical("its bits are no whole bytes");
    if (absl::Status status = CheckDer(key_bytes); !status.ok()) return Annotate(status, "the RSA key");
    DerReader rsa("RSA key", key_bytes);
    ASSIGN_OR_RETURN(const ByteView numbers, rsa.Read("RSAPublicKey", der::kSequence));
    RETURN_IF_ERROR(rsa.AssertDone());
    DerReader fields("RSA key", numbers);
    for (const std::string_view field : {"modulus", "publicExponent"}) {
      ASSIGN_OR_RETURN(const ByteView number, fields.Read(field, der::kInteger));
      if (number.empty() || (number.front() & 0x80) != 0) return NotCanonical("its numbers are not positive");
    }
    return fields.AssertDone();
  }
  DerReader ec("public key", algorithm);
  ASSIGN_OR_RETURN(const ByteView identifier, ec.Read("algorithm", der::kObjectIdentifier));
  if (AsText(identifier) == kEcPublicKey) {
    // RFC 5480, section 2.1.1: only namedCurve.
    if (!ec.NextIs(der::kObjectIdentifier)) {
      return NotCanonical("its curve is written out as parameters, which nobody accepts; name the curve");
    }
    RETURN_IF_ERROR(ec.Read("curve", der::kObjectIdentifier).status());
    RETURN_IF_ERROR(ec.AssertDone());
    if (!whole_bytes) return NotCanonical("its bits are no whole bytes");
    if (key_bytes.empty() || key_bytes.front() != kUncompressed) {
      return NotCanonical("its point is compressed, which phones cannot read; write it uncompressed");
    }
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const std::string again, Encode(key));
  return again == AsText(der) ? absl::OkStatus() : NotCanonical("its encoding is another");
}

}  // namespace

std::string PublicKeyKindText(const EVP_PKEY* key) {
  if (key == nullptr) return "unknown";
  const OpenSslErrorScope errors;
  switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
    case EVP_PKEY_RSA_PSS:
      return fmt::format("RSA {}", EVP_PKEY_get_bits(key));
    case EVP_PKEY_EC: {
      const std::string curve = CurveName(key);
      return curve.empty() ? "EC with explicit parameters" : "EC " + curve;
    }
    default: {
      const char* name = EVP_PKEY_get0_type_name(key);
      return name == nullptr ? "unknown" : name;
    }
  }
}

absl::Status CheckKeyStrength(const EVP_PKEY* key) {
  const std::string kind = PublicKeyKindText(key);
  const int type = key == nullptr ? EVP_PKEY_NONE : EVP_PKEY_get_base_id(key);
  const bool rsa =
      type == EVP_PKEY_RSA && EVP_PKEY_get_bits(key) >= kMinRsaBits && EVP_PKEY_get_bits(key) <= kMaxRsaBits;
  const bool ec = kind == "EC secp256r1" || kind == "EC secp384r1" || kind == "EC secp521r1";
  if (rsa || ec) return absl::OkStatus();
  return InvalidArgument("the key ({}) is neither RSA of {} to {} bits nor EC on secp256r1, secp384r1 or secp521r1",
                         kind, kMinRsaBits, kMaxRsaBits);
}

absl::StatusOr<PublicKeyInfo> PublicKeyInfo::FromDer(ByteView der) {
  if (der.size() > kMaxPublicKeyInfoSize) {
    return InvalidArgument("a public key of {} bytes is larger than the maximum of {}", der.size(),
                           kMaxPublicKeyInfoSize);
  }
  if (absl::Status status = CheckDer(der); !status.ok()) return Annotate(status, "not a public key in DER");
  const OpenSslErrorScope errors;
  const unsigned char* at = der.data();
  const X509PubkeyPtr parsed(d2i_X509_PUBKEY(nullptr, &at, static_cast<long>(der.size())));
  if (parsed == nullptr) return OpenSslInvalidArgument("the public key cannot be read");
  if (at != der.data() + der.size()) return InvalidArgument("bytes are left over after the public key");
  ASSIGN_OR_RETURN(PublicKeyInfo info, FromX509Pubkey(parsed.get()));
  if (info.der() != AsText(der)) return NotCanonical("its encoding is another");
  return info;
}

absl::StatusOr<PublicKeyInfo> PublicKeyInfo::FromX509Pubkey(const X509_PUBKEY* parsed) {
  const OpenSslErrorScope errors;
  auto data = std::make_shared<Data>();
  data->key.reset(X509_PUBKEY_get(parsed));
  if (data->key == nullptr) return OpenSslInvalidArgument("the public key cannot be read");
  unsigned char* der = nullptr;
  const int size = i2d_X509_PUBKEY(parsed, &der);
  const OpenSslBytesPtr owner(der);
  if (size <= 0) return OpenSslInternal("the public key cannot be encoded");
  data->der.assign(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
  RETURN_IF_ERROR(CheckCanonical(AsBytes(data->der), data->key.get()));
  data->sha256 = Sha256(AsBytes(data->der));
  return PublicKeyInfo(std::move(data));
}

absl::StatusOr<PublicKeyInfo> PublicKeyInfo::Of(EVP_PKEY* key) {
  const OpenSslErrorScope errors;
  if (key == nullptr || EVP_PKEY_get_base_id(key) != EVP_PKEY_EC) {
    ASSIGN_OR_RETURN(const std::string der, Encode(key));
    return FromDer(AsBytes(der));
  }
  const EvpPkeyPtr named(EVP_PKEY_dup(key));
  if (named == nullptr ||
      EVP_PKEY_set_utf8_string_param(named.get(), OSSL_PKEY_PARAM_EC_ENCODING, OSSL_PKEY_EC_ENCODING_GROUP) != 1 ||
      EVP_PKEY_set_utf8_string_param(named.get(), OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
                                     OSSL_PKEY_EC_POINT_CONVERSION_FORMAT_UNCOMPRESSED) != 1) {
    return OpenSslInternal("the form of an EC key cannot be set");
  }
  ASSIGN_OR_RETURN(const std::string der, Encode(named.get()));
  return FromDer(AsBytes(der));
}

}  // namespace trustline
