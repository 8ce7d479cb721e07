#include "common/x509/signature_algorithm.h"

#include <openssl/objects.h>

#include "common/status/status.h"
#include "common/x509/public_key.h"

namespace trustline {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kRsaSha256 = "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00"sv;
constexpr std::string_view kEcdsaSha256 = "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"sv;
constexpr std::string_view kEcdsaSha384 = "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03"sv;
constexpr std::string_view kEcdsaSha512 = "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x04"sv;

}  // namespace

absl::StatusOr<SignatureAlgorithm> SignatureAlgorithmOf(const EVP_PKEY* key) {
  const std::string kind = PublicKeyKindText(key);
  if (key != nullptr && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA) {
    return SignatureAlgorithm{NID_sha256WithRSAEncryption, EVP_sha256(), true, kRsaSha256};
  }
  if (kind == "EC secp256r1") return SignatureAlgorithm{NID_ecdsa_with_SHA256, EVP_sha256(), false, kEcdsaSha256};
  if (kind == "EC secp384r1") return SignatureAlgorithm{NID_ecdsa_with_SHA384, EVP_sha384(), false, kEcdsaSha384};
  if (kind == "EC secp521r1") return SignatureAlgorithm{NID_ecdsa_with_SHA512, EVP_sha512(), false, kEcdsaSha512};
  return InvalidArgument("a key of kind {} signs no certificates here: RSA, secp256r1, secp384r1 and secp521r1 do",
                         kind);
}

}  // namespace trustline
