// The file in which an administrator keeps a key that signs trust lists, away from the system.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "cli/trustctl/environment.h"
#include "common/bytes/secret_bytes.h"
#include "common/x509/pkcs12.h"

namespace trustline {

struct RecoveryKeyFile {
  std::string bytes;
  SecretBytes passphrase;
  CertifiedKey content;
};

// Asks for the passphrase unless `passphrase_file` names one.
absl::StatusOr<RecoveryKeyFile> ReadRecoveryKeyFile(Environment& environment, const std::string& path,
                                                    const std::string& passphrase_file);

}  // namespace trustline
