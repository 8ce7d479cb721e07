// What kind of key a public key is, and whether it is strong enough.
#pragma once

#include <openssl/evp.h>

#include <string>

#include "absl/status/status.h"

namespace trustline {

// "RSA 2048", "EC secp384r1", "ED25519"; "unknown" for a null key or one that OpenSSL cannot name.
std::string PublicKeyKindText(const EVP_PKEY* key);

// InvalidArgument unless the key is RSA of 2,048 to 8,192 bits or EC on secp256r1, secp384r1 or secp521r1.
absl::Status CheckKeyStrength(const EVP_PKEY* key);

}  // namespace trustline
