// Arguments of commands that publish trust lists: why, and which nodes need not answer for the signer before.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

namespace trustline {

struct PublicationArguments {
  std::optional<std::string> reason;
  std::vector<std::string> without_nodes;
};

// The option --reason.
CLI::Option* AddReason(CLI::App& command, std::optional<std::string>& reason, const std::string& description);
CLI::Option* AddReason(CLI::App& command, PublicationArguments& arguments, bool required);
void AddWithoutNodes(CLI::App& command, PublicationArguments& arguments);

// Into a request that has both.
template <typename Request>
void FillPublication(const PublicationArguments& arguments, Request& request) {
  request.set_reason(arguments.reason.value_or(""));
  for (const std::string& node : arguments.without_nodes) request.add_without_nodes(node);
}

}  // namespace trustline
