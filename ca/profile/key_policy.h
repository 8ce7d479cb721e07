// Which keys of devices are certified.
#pragma once

#include "absl/status/status.h"
#include "common/x509/public_key.h"

namespace trustline {

struct KeyPolicy {
  bool allow_rsa_1024 = false;    // for phones that cannot make longer keys
  bool allow_exponent_3 = false;  // for phones that make no other
};

// InvalidArgument, naming the rule, unless the key is RSA (rsaEncryption) of 2,048 to 4,096 bits (1,024 by the policy)
// with the exponent 65537 (3 by the policy) and none of the known weaknesses, or EC on secp256r1, secp384r1 or
// secp521r1 with a point of the curve. The weaknesses: a small factor; the fingerprint of
// ROCA (CVE-2017-15361); factors close to each other, which Fermat's method finds; a private key that is published
// (published_key.h). Keys that an administrator blocked are in a table of the database instead.
absl::Status CheckDeviceKey(const PublicKeyInfo& info, const KeyPolicy& policy);

}  // namespace trustline
