// The part of `trustctl cluster` with which phones are moved to another cluster.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/trustctl/command.h"

namespace trustline {

void AddMoveCommands(CommandLine& line, CLI::App& cluster);  // export, import

}  // namespace trustline
