// The parts of `trustctl phones`, each in a file of its own.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/trustctl/command.h"

namespace trustline {

void AddPhoneReportCommands(CommandLine& line, CLI::App& phones);  // report, adoption
void AddPhoneWatchCommand(CommandLine& line, CLI::App& phones);

}  // namespace trustline
