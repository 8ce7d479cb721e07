// What kind of key a public key is, and whether it is strong enough.
#pragma once

#include <openssl/evp.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/bytes/bytes.h"
#include "common/x509/openssl_ptr.h"

namespace trustline {

// "RSA 2048", "EC secp384r1", "ED25519"; "unknown" for a null key or one that OpenSSL cannot name.
std::string PublicKeyKindText(const EVP_PKEY* key);

// InvalidArgument unless the key is RSA of 2,048 to 8,192 bits or EC on secp256r1, secp384r1 or secp521r1.
absl::Status CheckKeyStrength(const EVP_PKEY* key);

// The largest SubjectPublicKeyInfo that is read: RSA 16384 takes 2.1 KB.
inline constexpr size_t kMaxPublicKeyInfoSize = 4096;

// A SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7). InvalidArgument unless `der` is one in DER with nothing after it,
// of a kind of key that OpenSSL knows, and encodes again to the same bytes.
absl::StatusOr<EvpPkeyPtr> ReadPublicKeyInfo(ByteView der);

// The SubjectPublicKeyInfo of a key.
absl::StatusOr<std::string> EncodePublicKeyInfo(const EVP_PKEY* key);

}  // namespace trustline
