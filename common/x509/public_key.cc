#include "common/x509/public_key.h"

#include <openssl/core_names.h>
#include <openssl/objects.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>

#include <utility>
#include <variant>

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

// What the two kinds of keys that are certified consist of; views of a SubjectPublicKeyInfo.
struct RsaParts {
  ByteView whole;                     // RSAPublicKey (RFC 8017, appendix A.1.1)
  ByteView modulus, public_exponent;  // big-endian
};
struct EcParts {
  ByteView curve;  // its object identifier in DER
  ByteView point;
};
using KeyParts = std::variant<std::monostate, RsaParts, EcParts>;  // monostate: another kind

// InvalidArgument when a key of these kinds is in another form than the one that OpenSSL would write.
absl::StatusOr<KeyParts> ReadParts(ByteView der) {
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
    RsaParts key = {.whole = key_bytes};
    ASSIGN_OR_RETURN(key.modulus, fields.Read("modulus", der::kInteger));
    ASSIGN_OR_RETURN(key.public_exponent, fields.Read("publicExponent", der::kInteger));
    for (const ByteView number : {key.modulus, key.public_exponent}) {
      if (number.empty() || (number.front() & 0x80) != 0) return NotCanonical("its numbers are not positive");
    }
    RETURN_IF_ERROR(fields.AssertDone());
    return key;
  }
  DerReader ec("public key", algorithm);
  ASSIGN_OR_RETURN(const ByteView identifier, ec.Read("algorithm", der::kObjectIdentifier));
  if (AsText(identifier) == kEcPublicKey) {
    // RFC 5480, section 2.1.1: only namedCurve.
    if (!ec.NextIs(der::kObjectIdentifier)) {
      return NotCanonical("its curve is written out as parameters, which nobody accepts; name the curve");
    }
    EcParts key = {.curve = {}, .point = key_bytes};
    ASSIGN_OR_RETURN(key.curve, ec.ReadWhole("curve", der::kObjectIdentifier));
    RETURN_IF_ERROR(ec.AssertDone());
    if (!whole_bytes) return NotCanonical("its bits are no whole bytes");
    if (key_bytes.empty() || key_bytes.front() != kUncompressed) {
      return NotCanonical("its point is compressed, which phones cannot read; write it uncompressed");
    }
    return key;
  }
  return KeyParts();
}

Asn1ObjectPtr ObjectOf(ByteView object_identifier) {
  const unsigned char* at = object_identifier.data();
  return Asn1ObjectPtr(d2i_ASN1_OBJECT(nullptr, &at, static_cast<long>(object_identifier.size())));
}

absl::StatusOr<EvpPkeyPtr> MakeKey(const char* kind, OSSL_PARAM* parameters) {
  const EvpPkeyCtxPtr context(EVP_PKEY_CTX_new_from_name(nullptr, kind, nullptr));
  EVP_PKEY* key = nullptr;
  if (context == nullptr || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, parameters) != 1) {
    return OpenSslInvalidArgument("the public key cannot be read");
  }
  return EvpPkeyPtr(key);
}

absl::StatusOr<EvpPkeyPtr> MakeKey(const RsaParts& parts) {
  const auto number = [](ByteView bytes) {
    return BignumPtr(BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr));
  };
  const BignumPtr modulus = number(parts.modulus);
  const BignumPtr public_exponent = number(parts.public_exponent);
  const ParameterBuilderPtr builder(OSSL_PARAM_BLD_new());
  if (modulus == nullptr || public_exponent == nullptr || builder == nullptr ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, public_exponent.get()) != 1) {
    return OpenSslInternal("an RSA key cannot be made");
  }
  const ParameterPtr parameters(OSSL_PARAM_BLD_to_param(builder.get()));
  return MakeKey("RSA", parameters.get());
}

absl::StatusOr<EvpPkeyPtr> MakeKey(const EcParts& parts) {
  const Asn1ObjectPtr curve = ObjectOf(parts.curve);
  const int nid = curve == nullptr ? NID_undef : OBJ_obj2nid(curve.get());
  if (nid == NID_undef) return InvalidArgument("the public key is on a curve that is not known");
  std::string name = OBJ_nid2sn(nid);
  std::string point(AsText(parts.point));
  OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, name.data(), name.size()),
                             OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()),
                             OSSL_PARAM_construct_end()};
  return MakeKey("EC", parameters);
}

// What OpenSSL would write for the key.
absl::Status CheckCanonical(ByteView der, const KeyParts& parts, const EVP_PKEY* key) {
  if (!std::holds_alternative<std::monostate>(parts)) return absl::OkStatus();
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
  ASSIGN_OR_RETURN(const KeyParts parts, ReadParts(der));
  // OpenSSL's own reader takes ten times as long.
  if (const auto* rsa = std::get_if<RsaParts>(&parts)) return Take(std::string(AsText(der)), MakeKey(*rsa));
  if (const auto* ec = std::get_if<EcParts>(&parts)) return Take(std::string(AsText(der)), MakeKey(*ec));
  const unsigned char* at = der.data();
  const X509PubkeyPtr parsed(d2i_X509_PUBKEY(nullptr, &at, static_cast<long>(der.size())));
  if (parsed == nullptr) return OpenSslInvalidArgument("the public key cannot be read");
  ASSIGN_OR_RETURN(PublicKeyInfo info, FromX509Pubkey(parsed.get()));
  if (info.der() != AsText(der)) return NotCanonical("its encoding is another");
  return info;
}

absl::StatusOr<PublicKeyInfo> PublicKeyInfo::FromX509Pubkey(const X509_PUBKEY* parsed) {
  const OpenSslErrorScope errors;
  EvpPkeyPtr key(X509_PUBKEY_get(parsed));
  if (key == nullptr) return OpenSslInvalidArgument("the public key cannot be read");
  unsigned char* bytes = nullptr;
  const int size = i2d_X509_PUBKEY(parsed, &bytes);
  const OpenSslBytesPtr owner(bytes);
  if (size <= 0) return OpenSslInternal("the public key cannot be encoded");
  std::string der(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
  ASSIGN_OR_RETURN(const KeyParts parts, ReadParts(AsBytes(der)));
  RETURN_IF_ERROR(CheckCanonical(AsBytes(der), parts, key.get()));
  return Take(std::move(der), std::move(key));
}

absl::StatusOr<PublicKeyInfo> PublicKeyInfo::Take(std::string der, absl::StatusOr<EvpPkeyPtr> key) {
  auto data = std::make_shared<Data>();
  ASSIGN_OR_RETURN(data->key, std::move(key));
  data->sha256 = Sha256(AsBytes(der));
  data->der = std::move(der);
  return PublicKeyInfo(std::move(data));
}

absl::Status SetPublicKey(X509* certificate, ByteView public_key_info) {
  ASSIGN_OR_RETURN(const KeyParts parts, ReadParts(public_key_info));
  const auto set = [certificate](ASN1_OBJECT* algorithm, int type, void* parameter, ByteView key) -> absl::Status {
    OpenSslBytesPtr bytes(static_cast<unsigned char*>(OPENSSL_memdup(key.data(), key.size())));
    if (bytes != nullptr && X509_PUBKEY_set0_param(X509_get_X509_PUBKEY(certificate), algorithm, type, parameter,
                                                   bytes.get(), static_cast<int>(key.size())) == 1) {
      static_cast<void>(bytes.release());  // the certificate's
      return absl::OkStatus();
    }
    return OpenSslInternal("a certificate's public key cannot be set");
  };
  if (const auto* ec = std::get_if<EcParts>(&parts)) {
    Asn1ObjectPtr curve = ObjectOf(ec->curve);
    if (curve == nullptr) return OpenSslInternal("a certificate's public key cannot be set");
    RETURN_IF_ERROR(set(OBJ_nid2obj(NID_X9_62_id_ecPublicKey), V_ASN1_OBJECT, curve.get(), ec->point));
    static_cast<void>(curve.release());  // the certificate's
    return absl::OkStatus();
  }
  if (const auto* rsa = std::get_if<RsaParts>(&parts)) {
    return set(OBJ_nid2obj(NID_rsaEncryption), V_ASN1_NULL, nullptr, rsa->whole);
  }
  return InvalidArgument("only RSA and EC keys are certified");
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
