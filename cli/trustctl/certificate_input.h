// Certificates from the FILE arguments of a command.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace trustline {

struct InputCertificate {
  std::string der;
  std::string source;  // "bundle.pem", or "bundle.pem, certificate 3" when the file has several
};

// The argument FILE..., whose texts ReadInputCertificates reads.
void AddCertificateFiles(CLI::App& command, std::vector<std::string>& paths);

// Each path is a PEM, DER or PKCS#7 file, a folder of them (hidden files are passed over), or "-" for the standard
// input. At least one certificate; any file at fault is an error that names it.
absl::StatusOr<std::vector<InputCertificate>> ReadInputCertificates(const std::vector<std::string>& paths);

// Adds the next step to the error of a file that is not there or may not be read.
absl::Status WithFileAdvice(const absl::Status& status);

}  // namespace trustline
