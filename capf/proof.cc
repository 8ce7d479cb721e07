#include "capf/proof.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <array>
#include <string>

#include "absl/strings/ascii.h"
#include "common/bytes/bytes.h"
#include "common/device/device_name.h"
#include "common/status/status.h"
#include "common/x509/der.h"
#include "common/x509/openssl_error.h"
#include "common/x509/openssl_ptr.h"
#include "common/x509/public_key.h"

namespace trustline {
namespace {

// With fewer the padding beside a SHA-512 would be short, and the modulus can be factored.
constexpr int kMinRsaBits = 1024;
constexpr int kMaxRsaBits = 8 * static_cast<int>(kMaxCapfSignature);

constexpr std::string_view kCommonNameOid = "2.5.4.3";
constexpr size_t kMaxCommonName = 64;  // RFC 5280, appendix A: ub-common-name
// What stands before the model in a manufacturer's common name.
constexpr std::string_view kManufacturerPrefix = "CP-";
constexpr size_t kLongestDeviceName = 15;

absl::StatusOr<BignumPtr> KeyNumber(const EVP_PKEY* key, const char* name) {
  BIGNUM* number = nullptr;
  EVP_PKEY_get_bn_param(key, name, &number);
  BignumPtr owner(number);
  if (owner == nullptr) return OpenSslInternal(fmt::format("the number {} of a public key cannot be read", name));
  return owner;
}

// The key of a certificate, if it is of a kind that phones prove themselves with.
absl::StatusOr<PublicKeyInfo> ReadProofKey(const Certificate& certificate) {
  // In the one form that a key has: neither curves whose parameters somebody made up, nor a point that is none.
  ASSIGN_OR_RETURN(PublicKeyInfo info, PublicKeyInfo::FromX509Pubkey(X509_get_X509_PUBKEY(certificate.x509())));
  const std::string kind = PublicKeyKindText(info.key());
  switch (EVP_PKEY_get_base_id(info.key())) {
    case EVP_PKEY_RSA: {
      const int bits = EVP_PKEY_get_bits(info.key());
      if (bits < kMinRsaBits || bits > kMaxRsaBits) {
        return InvalidArgument("its key ({}) proves nothing: RSA keys must have {} to {} bits", kind, kMinRsaBits,
                               kMaxRsaBits);
      }
      ASSIGN_OR_RETURN(const BignumPtr exponent, KeyNumber(info.key(), OSSL_PKEY_PARAM_RSA_E));
      if (!BN_is_word(exponent.get(), RSA_F4) && !BN_is_word(exponent.get(), RSA_3)) {
        return InvalidArgument("its key ({}) has another public exponent than 65537 or 3", kind);
      }
      return info;
    }
    case EVP_PKEY_EC:
      if (kind == "EC secp256r1" || kind == "EC secp384r1" || kind == "EC secp521r1") return info;
      [[fallthrough]];
    default:
      return InvalidArgument("its key ({}) is neither RSA nor EC on secp256r1, secp384r1 or secp521r1", kind);
  }
}

absl::StatusOr<std::string> Digest(CapfDigest digest, std::string_view message) {
  std::string hash(EVP_MAX_MD_SIZE, '\0');
  unsigned int size = 0;
  if (EVP_Digest(message.data(), message.size(), reinterpret_cast<unsigned char*>(hash.data()), &size,
                 digest == CapfDigest::kSha1 ? EVP_sha1() : EVP_sha512(), nullptr) != 1) {
    return OpenSslInternal("a digest cannot be computed");
  }
  hash.resize(size);
  return hash;
}

// 00 01 FF..FF 00 and the hash: PKCS#1 type 1 padding (RFC 8017, section 9.2) of the hash alone, without the
// DigestInfo that the RFC wants around it.
std::string PaddedHash(size_t size, std::string_view hash) {
  std::string block(size - hash.size(), '\xff');
  block.front() = '\x00';
  block[1] = '\x01';
  block.back() = '\x00';
  return block.append(hash);
}

absl::Status VerifyRsa(EVP_PKEY* key, std::string_view hash, ByteView signature) {
  const auto size = static_cast<size_t>(EVP_PKEY_get_size(key));
  if (signature.size() != size) {
    return PermissionDenied("it has {} bytes, its key's have {}", signature.size(), size);
  }
  const EvpPkeyCtxPtr context(EVP_PKEY_CTX_new(key, nullptr));
  if (context == nullptr || EVP_PKEY_verify_recover_init(context.get()) != 1 ||
      EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_NO_PADDING) != 1) {
    return OpenSslInternal("an RSA signature cannot be checked");
  }
  std::string block(size, '\0');
  size_t recovered = block.size();
  // Refuses values that are not below the modulus.
  if (EVP_PKEY_verify_recover(context.get(), reinterpret_cast<unsigned char*>(block.data()), &recovered,
                              signature.data(), signature.size()) != 1) {
    return PermissionDenied("it is no value of its key: {}", DrainOpenSslErrors());
  }
  // Nothing of the block is left to whoever signed: not how much padding there is, nor what stands after the hash.
  if (recovered != size || block != PaddedHash(size, hash)) {
    return PermissionDenied("its key did not sign this");
  }
  return absl::OkStatus();
}

// The value of ECDSA is SEQUENCE { r INTEGER, s INTEGER } (RFC 3279, section 2.2.3): in DER, so that the same numbers
// have one form; r and s in [1, n-1] (FIPS 186-5, section 6.4.2).
absl::Status CheckEcdsaValue(const EVP_PKEY* key, ByteView signature) {
  RETURN_IF_ERROR(CheckDer(signature));
  DerReader outer("ECDSA value", signature);
  ASSIGN_OR_RETURN(const ByteView content, outer.Read("sequence", der::kSequence));
  RETURN_IF_ERROR(outer.AssertDone());
  ASSIGN_OR_RETURN(const BignumPtr order, KeyNumber(key, OSSL_PKEY_PARAM_EC_ORDER));
  DerReader numbers("ECDSA value", content);
  for (const std::string_view name : {"r", "s"}) {
    ASSIGN_OR_RETURN(const ByteView bytes, numbers.Read(name, der::kInteger));
    if ((bytes.front() & 0x80) != 0) return InvalidArgument("its {} is negative", name);
    const BignumPtr number(BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr));
    if (number == nullptr) return OpenSslInternal("out of memory");
    if (BN_is_zero(number.get()) || BN_cmp(number.get(), order.get()) >= 0) {
      return InvalidArgument("its {} is not between 1 and the order of the curve", name);
    }
  }
  return numbers.AssertDone();
}

absl::Status VerifyEcdsa(EVP_PKEY* key, std::string_view hash, ByteView signature) {
  const absl::Status value = CheckEcdsaValue(key, signature);
  if (absl::IsInvalidArgument(value)) return PermissionDenied("{}", value.message());
  RETURN_IF_ERROR(value);
  const EvpPkeyCtxPtr context(EVP_PKEY_CTX_new(key, nullptr));
  if (context == nullptr || EVP_PKEY_verify_init(context.get()) != 1) {
    return OpenSslInternal("an ECDSA signature cannot be checked");
  }
  const ByteView digest = AsBytes(hash);
  if (EVP_PKEY_verify(context.get(), signature.data(), signature.size(), digest.data(), digest.size()) != 1) {
    return PermissionDenied("its key did not sign this");
  }
  return absl::OkStatus();
}

// `what` is the element as it stands in errors.
absl::Status Verify(std::string_view what, const PublicKeyInfo& key, CapfDigest digest, std::string_view message,
                    std::string_view signature) {
  ASSIGN_OR_RETURN(const std::string hash, Digest(digest, message));
  const bool rsa = EVP_PKEY_get_base_id(key.key()) == EVP_PKEY_RSA;
  return Annotate(
      rsa ? VerifyRsa(key.key(), hash, AsBytes(signature)) : VerifyEcdsa(key.key(), hash, AsBytes(signature)), what);
}

absl::StatusOr<Certificate> ReadCertificate(std::string_view what, std::string_view der) {
  absl::StatusOr<Certificate> certificate = Certificate::FromDer(AsBytes(der));
  if (!certificate.ok()) return Annotate(certificate.status(), what);
  return certificate;
}

absl::Status CheckSignedData(const CapfElements& response, const Certificate& certificate) {
  absl::StatusOr<PublicKeyInfo> key = ReadProofKey(certificate);
  if (!key.ok()) return Annotate(key.status(), "the phone's certificate");
  if (!response.signed_data) return PermissionDenied("the signed data (SHA-1) is missing");
  if (!response.sha2_signed_data) return PermissionDenied("the SHA-2 signed data is missing");
  if (response.sha2_signed_data->digest != CapfDigest::kSha512) {
    return PermissionDenied("the SHA-2 signed data was not made with SHA-512");
  }
  std::string message = *response.device_name;
  message.push_back('\0');
  message.append(AsText(certificate.der()));
  RETURN_IF_ERROR(Verify("signed data (SHA-1)", *key, CapfDigest::kSha1, message, *response.signed_data));
  return Verify("SHA-2 signed data", *key, CapfDigest::kSha512, message, response.sha2_signed_data->signature);
}

absl::StatusOr<Certificate> CheckSudiData(const CapfSudiData& sudi, uint32_t session_id) {
  ASSIGN_OR_RETURN(Certificate certificate, ReadCertificate("the certificate of the SUDI data", sudi.certificate));
  absl::StatusOr<PublicKeyInfo> key = ReadProofKey(certificate);
  if (!key.ok()) return Annotate(key.status(), "the certificate of the SUDI data");
  // Here alone phones write the session id in their own order of bytes.
  std::string message;
  for (int shift = 0; shift < 32; shift += 8) message.push_back(static_cast<char>(session_id >> shift));
  message.append(AsText(certificate.der()));
  RETURN_IF_ERROR(Verify("SUDI data, SHA-1", *key, CapfDigest::kSha1, message, sudi.sha1_signature));
  RETURN_IF_ERROR(Verify("SUDI data, SHA-512", *key, CapfDigest::kSha512, message, sudi.sha512_signature));
  return certificate;
}

// A model in whose letters a device's name could be read as well: "8841-SEP001122334455".
bool NamesADevice(std::string_view model) {
  for (size_t begin = 0; begin < model.size(); ++begin) {
    const std::string_view word = model.substr(begin, model.find('-', begin) - begin);
    if (DeviceName::Parse(word.substr(0, kLongestDeviceName)).ok()) return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<ProvedCertificate> CheckPossession(const CapfElements& response, uint32_t session_id) {
  const OpenSslErrorScope errors;
  if (!response.certificate) return PermissionDenied("the phone has sent no certificate");
  if (!response.device_name) return PermissionDenied("the phone has not sent its name");

  // 1. The certificate, and that its key signed the name that asks.
  ASSIGN_OR_RETURN(Certificate certificate, ReadCertificate("the phone's certificate", response.certificate->der));
  RETURN_IF_ERROR(CheckSignedData(response, certificate));
  ProvedCertificate proved{.certificate = std::move(certificate), .type = response.certificate->type};

  // 2. What covers this session, if it came.
  if (response.sudi_data) {
    ASSIGN_OR_RETURN(proved.session_certificate, CheckSudiData(*response.sudi_data, session_id));
  }
  return proved;
}

absl::StatusOr<std::string> DeviceNamedBy(const Certificate& certificate) {
  const std::vector<NameAttribute>& attributes = certificate.subject().attributes();
  const auto is_common_name = [](const NameAttribute& attribute) { return attribute.oid == kCommonNameOid; };
  if (std::ranges::count_if(attributes, is_common_name) != 1) {
    return InvalidArgument("its subject {} has not exactly one common name", certificate.subject().ToText());
  }
  const std::string_view name = certificate.subject().common_name();
  if (name.size() <= kMaxCommonName) {
    if (const absl::StatusOr<DeviceName> device = DeviceName::Parse(name); device.ok()) return device->text();
    const size_t last_hyphen = name.rfind('-');
    if (name.starts_with(kManufacturerPrefix) && last_hyphen > kManufacturerPrefix.size()) {
      const std::string_view model = name.substr(kManufacturerPrefix.size(), last_hyphen - kManufacturerPrefix.size());
      const absl::StatusOr<DeviceName> device = DeviceName::Parse(name.substr(last_hyphen + 1));
      const bool good_model = std::ranges::all_of(
          model, [](char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-'; });
      if (device.ok() && good_model && !NamesADevice(model)) return device->text();
    }
  }
  return InvalidArgument(
      "its subject {} names no device: the common name must be the device's name, or CP-<model>-<device's name>",
      certificate.subject().ToText());
}

}  // namespace trustline
