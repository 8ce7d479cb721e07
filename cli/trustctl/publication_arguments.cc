#include "cli/trustctl/publication_arguments.h"

#include "cli/trustctl/device_arguments.h"

namespace trustline {

CLI::Option* AddReason(CLI::App& command, std::optional<std::string>& reason, const std::string& description) {
  return AddText(command, "--reason", kMaxDeviceText, reason, description)->check([](const std::string& text) {
    return text.empty() ? std::string("the reason is empty") : "";
  });
}

CLI::Option* AddReason(CLI::App& command, PublicationArguments& arguments, bool required) {
  CLI::Option* const option = AddReason(command, arguments.reason, "Why, for the audit log and the history");
  return required ? option->required() : option;
}

void AddWithoutNodes(CLI::App& command, PublicationArguments& arguments) {
  command
      .add_option("--without-node", arguments.without_nodes,
                  "A TVS node that need not answer for the signer before, because it is away; as often as needed")
      ->type_name("NODE")
      ->allow_extra_args(false);
}

}  // namespace trustline
