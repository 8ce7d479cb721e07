// What a command asks the person at the terminal: whether to go on, and passphrases.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/trustctl/environment.h"
#include "common/bytes/secret_bytes.h"

namespace trustline {

// Whether the standard output is a terminal, where bytes of a file are no use.
bool StandardOutputIsTerminal();

// The option --yes, which answers Confirm.
void AddYes(CLI::App& command, bool& yes);

// OK when `yes`, or when the person answers the question so. Aborted for any other answer; a usage error when there is
// no terminal to ask at.
absl::Status Confirm(Environment& environment, bool yes, std::string_view question);

// The option --passphrase-file.
CLI::Option* AddPassphraseFile(CLI::App& command, std::string& path);

// A passphrase that a file is opened with, and one that a file is to have, which is asked for twice and has at least
// kMinPkcs12Passphrase bytes. From `path` (ReadPassphraseFile) unless that is empty; else asked for without echo. A
// usage error when there is no terminal to ask at; Aborted after Ctrl-C.
absl::StatusOr<SecretBytes> ReadPassphrase(Environment& environment, const std::string& path, std::string_view file);
absl::StatusOr<SecretBytes> ReadNewPassphrase(Environment& environment, const std::string& path, std::string_view file);

}  // namespace trustline
