// trustctl itl ... and trustctl ctl ...: the phones' trust lists. Here: the two groups.
#include "cli/trustctl/trust_list_commands.h"

namespace trustline {

void AddTrustListCommands(CommandLine& line) {
  CLI::App& itl = AddGroup(line.app, "itl", "The phones' initial trust lists (ITL)",
                           "  trustctl itl server add tftp1 --host tftp1.example.com --organization Example\n"
                           "  trustctl itl list\n"
                           "  trustctl itl show\n"
                           "  trustctl itl publish --reason 'new TVS node'");
  const ListGroup itls = {itl, v1::TRUST_LIST_KIND_ITL};
  AddListShowCommands(line, itls);
  AddListDecodeCommand(line, itls);
  AddListComparisonCommands(line, itls);
  AddListPublicationCommands(line, itls);
  AddTftpServerCommands(line, itl);
  AddListSettingsCommands(line, itl);
  AddListResetCommand(line, itls);
  AddRecoveryCommands(line, itl);
  AddBlankCommands(line, itl);

  CLI::App& ctl = AddGroup(line.app, "ctl", "The cluster's certificate trust list (CTL): mixed mode",
                           "  trustctl ctl mixed-mode on --reason 'secure phones'\n"
                           "  trustctl ctl show");
  const ListGroup ctls = {ctl, v1::TRUST_LIST_KIND_CTL};
  AddListShowCommands(line, ctls);
  AddListDecodeCommand(line, ctls);
  AddListComparisonCommands(line, ctls);
  AddListPublicationCommands(line, ctls);
  AddListResetCommand(line, ctls);
  AddMixedModeCommands(line, ctl);
}

}  // namespace trustline
