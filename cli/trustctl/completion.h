// Shell completion, generated from the tree of commands.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace trustline {

enum class Shell : uint8_t { kBash, kZsh, kFish };

// "bash", "zsh" or "fish".
absl::StatusOr<Shell> ParseShell(std::string_view name);

// The script for `app` and all its commands: commands, options, and values where they are known (roles, formats, files,
// folders), told by the options' type names of cli/trustctl/command.h.
std::string CompletionScript(const CLI::App& app, Shell shell);

}  // namespace trustline
