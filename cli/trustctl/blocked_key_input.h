// The keys that are to be blocked, from a file.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace trustline {

// SHA-256 of SubjectPublicKeyInfos (32 bytes each), at least one, in the order of the file. The file holds the keys
// themselves (PEM or DER: private keys, public keys, certificates, certificate signing requests; each key counts once),
// or such hashes in hexadecimal, one a line, '#' before a comment. Any fault is an error that names file and place.
absl::StatusOr<std::vector<std::string>> ReadBlockedKeys(const std::string& path);

}  // namespace trustline
