// The part of `trustctl adopt` about the lists that were adopted.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/trustctl/command.h"

namespace trustline {

void AddAdoptedListCommands(CommandLine& line, CLI::App& adopt);  // list, show

}  // namespace trustline
