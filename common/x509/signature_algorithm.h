// With which algorithm a key signs certificates and CRLs.
#pragma once

#include <openssl/evp.h>

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace trustline {

// RFC 4055 and RFC 5758: RSA PKCS#1 v1.5 with SHA-256 for RSA keys; ECDSA with SHA-256, 384 or 512 as the curve is
// large.
struct SignatureAlgorithm {
  int signature_nid;
  const EVP_MD* digest;
  bool has_null;                   // the parameters are NULL instead of absent
  std::string_view algorithm_der;  // the AlgorithmIdentifier
};

// InvalidArgument for a key of another kind.
absl::StatusOr<SignatureAlgorithm> SignatureAlgorithmOf(const EVP_PKEY* key);

}  // namespace trustline
