// What a mistake on the command line is called.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace trustline {

// Throws CLI::ValidationError for `--option=`: CLI11 would take the next argument as its value.
void RefuseEmptyValues(int argc, const char* const* argv);

// `app` threw `error` while it parsed. An unknown command is named together with the nearest one, or with those that
// there are; other mistakes are in CLI11's words.
std::string CommandLineErrorText(const CLI::App& app, const CLI::ParseError& error);

}  // namespace trustline
