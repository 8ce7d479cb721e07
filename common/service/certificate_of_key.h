// A private key and its certificate in two files that are replaced together.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/x509/certificate.h"
#include "common/x509/private_key.h"

namespace trustline {

// Where a certificate waits that goes with the next key. Who replaces both writes the certificate there, then the key,
// and renames it then: whatever ends that in between, ReadCertificatesOfKey finds the one that fits.
std::string PendingCertificatePath(const std::string& certificate_path);

// The certificates in a file, of which the first is that of the key, which was read from `key_path`. When the one that
// waits is the key's, it takes its place first. FailedPrecondition, with `cure`, when neither is; else errors name the
// file.
absl::StatusOr<std::vector<Certificate>> ReadCertificatesOfKey(const PrivateKey& key, const std::string& key_path,
                                                               const std::string& certificate_path,
                                                               std::string_view cure);

// All certificates of a file of at most 256 KB.
absl::StatusOr<std::vector<Certificate>> ReadChainFile(const std::string& path);

}  // namespace trustline
