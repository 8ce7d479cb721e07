// The parts of `trustctl plan`, each in a file of its own.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/trustctl/command.h"

namespace trustline {

void AddPlanMakeCommands(CommandLine& line, CLI::App& plan);  // rollover, migrate, rollback

}  // namespace trustline
