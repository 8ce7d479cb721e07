// The parts of `trustctl phones`, each in a file of its own.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/trustctl/command.h"

namespace trustline {

void AddPhoneReportCommands(CommandLine& line, CLI::App& phones);  // report, adoption
void AddPhoneModelCommands(CommandLine& line, CLI::App& phones);   // models ...
void AddPhoneWatchCommand(CommandLine& line, CLI::App& phones);
void AddPhoneResetCommands(CommandLine& line, CLI::App& phones);  // reset, resets ...
void AddPhoneForecastCommand(CommandLine& line, CLI::App& phones);

}  // namespace trustline
