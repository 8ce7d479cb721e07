// Certificates from the FILE arguments of a command.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace trustline {

struct InputCertificate {
  std::string der;
  std::string source;  // "bundle.pem", or "bundle.pem, certificate 3" when the file has several
};

// Each path is a PEM, DER or PKCS#7 file, or a folder of them (hidden files are passed over). At least one certificate;
// any file at fault is an error that names it.
absl::StatusOr<std::vector<InputCertificate>> ReadInputCertificates(const std::vector<std::string>& paths);

}  // namespace trustline
