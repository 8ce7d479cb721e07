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

// The SECG name of an EC key's curve, as phones' documentation has it; empty for explicit parameters.
std::string CurveName(const EVP_PKEY* key) {
  char name[64] = {};
  size_t size = 0;
  if (EVP_PKEY_get_group_name(key, name, sizeof(name), &size) != 1) return "";
  const std::string_view group(name, size);
  if (group == SN_X9_62_prime256v1) return "secp256r1";
  return std::string(group);
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

absl::StatusOr<EvpPkeyPtr> ReadPublicKeyInfo(ByteView der) {
  if (der.size() > kMaxPublicKeyInfoSize) {
    return InvalidArgument("a public key of {} bytes is larger than the maximum of {}", der.size(),
                           kMaxPublicKeyInfoSize);
  }
  if (absl::Status status = CheckDer(der); !status.ok()) return Annotate(status, "not a public key in DER");
  const OpenSslErrorScope errors;
  const unsigned char* at = der.data();
  EvpPkeyPtr key(d2i_PUBKEY(nullptr, &at, static_cast<long>(der.size())));
  if (key == nullptr) return OpenSslInvalidArgument("the public key cannot be read");
  if (at != der.data() + der.size()) return InvalidArgument("bytes are left over after the public key");
  ASSIGN_OR_RETURN(const std::string again, EncodePublicKeyInfo(key.get()));
  if (again != AsText(der)) return InvalidArgument("the public key is not in its one canonical form");
  return key;
}

absl::StatusOr<std::string> EncodePublicKeyInfo(const EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  const OpenSslBytesPtr owner(der);
  if (size <= 0) return OpenSslInternal("the public key cannot be encoded");
  return std::string(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
}

}  // namespace trustline
