// Certificates from the files that administrators have: PEM bundles, DER, PKCS#7, folders of them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/bytes/bytes.h"
#include "common/x509/certificate.h"

namespace trustline {

// A bundle of 100,000 certificates with RSA 2048 keys takes 130 MB in PEM.
inline constexpr size_t kMaxCertificateFileSize = 256 * 1024 * 1024;

// The certificates of one file, in its order, at least one. PEM blocks that are not certificates are passed over.
// InvalidArgument names the file (`name`) and the number of the block at fault; nothing is returned from a file with a
// fault.
absl::StatusOr<std::vector<Certificate>> ReadCertificates(ByteView bytes, std::string_view name);

// The certificates of a file, or of all files in a folder in the order of their names. Hidden files are passed over;
// anything else in the folder that is not a certificate is an error. NotFound, PermissionDenied, InvalidArgument.
absl::StatusOr<std::vector<Certificate>> ReadCertificatePath(const std::string& path);

}  // namespace trustline
