// The parts of `trustctl itl` and `trustctl ctl`, each in a file of its own.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "cli/trustctl/command.h"
#include "proto/trust_list.pb.h"

namespace trustline {

// What the parts that both have are about.
struct ListGroup {
  CLI::App& group;
  v1::TrustListKind kind;

  // "itl", for examples.
  std::string name() const { return group.get_name(); }
};

// Of both.
void AddListShowCommands(CommandLine& line, const ListGroup& lists);         // show, export
void AddListDecodeCommand(CommandLine& line, const ListGroup& lists);        // decode
void AddListComparisonCommands(CommandLine& line, const ListGroup& lists);   // verify, diff
void AddListPublicationCommands(CommandLine& line, const ListGroup& lists);  // list, history, generate, publish
void AddListResetCommand(CommandLine& line, const ListGroup& lists);

// Of ITLs.
void AddTftpServerCommands(CommandLine& line, CLI::App& itl);
void AddTftpServerNameCommands(CommandLine& line, CLI::App& server);
void AddListSettingsCommands(CommandLine& line, CLI::App& itl);  // settings, able, device
void AddRecoveryCommands(CommandLine& line, CLI::App& itl);
void AddRecoveryDrillCommand(CommandLine& line, CLI::App& recovery);
void AddBlankCommands(CommandLine& line, CLI::App& itl);
// Of CTLs.
void AddMixedModeCommands(CommandLine& line, CLI::App& ctl);

}  // namespace trustline
