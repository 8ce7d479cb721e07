#include "cli/trustctl/command_line_error.h"

#include <fmt/format.h>

#include <set>
#include <string_view>
#include <vector>

#include "absl/strings/str_join.h"
#include "common/service/nearest_text.h"

namespace trustline {
namespace {

// "trustctl trust crl".
std::string PathOf(const CLI::App& app) {
  return app.get_parent() == nullptr ? app.get_name() : PathOf(*app.get_parent()) + " " + app.get_name();
}

}  // namespace

void RefuseEmptyValues(int argc, const char* const* argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (!argument.starts_with("--") || argument.find('=') != argument.size() - 1) continue;
    throw CLI::ValidationError(std::string(argument.substr(0, argument.size() - 1)), "the value is empty");
  }
}

std::string CommandLineErrorText(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* group = &app;
  while (!group->get_subcommands().empty()) group = group->get_subcommands().front();
  std::vector<std::string> names;
  for (const CLI::App* command : group->get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(command->get_name());
  }
  const bool about_command = error.get_name() == "RequiredError" || error.get_name() == "ExtrasError";
  if (names.empty() || !about_command) return error.what();

  const std::vector<std::string> unknown = app.remaining(/*recurse=*/true);
  if (unknown.empty()) return fmt::format("`{}` needs a command: {}", PathOf(*group), absl::StrJoin(names, ", "));
  const std::string& word = unknown.front();
  if (word.starts_with("-")) return fmt::format("'{}' is not an option of `{}`", word, PathOf(*group));
  std::set<std::string> candidates(names.begin(), names.end());
  candidates.insert("--help");
  const std::string nearest = NearestText(word, candidates);
  if (!nearest.empty()) {
    return fmt::format("'{1}' is not a command of `{0}`: did you mean `{0} {2}`?", PathOf(*group), word, nearest);
  }
  return fmt::format("'{}' is not a command of `{}`, but these are: {}", word, PathOf(*group),
                     absl::StrJoin(names, ", "));
}

}  // namespace trustline
