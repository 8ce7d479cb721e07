#include "cli/trustctl/completion.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "cli/trustctl/capf_words.h"
#include "cli/trustctl/command.h"
#include "cli/trustctl/enumeration_words.h"
#include "cli/trustctl/phone_words.h"
#include "cli/trustctl/plan_records.h"
#include "cli/trustctl/trust_list_words.h"
#include "cli/trustctl/verdict_words.h"
#include "common/status/status.h"

namespace trustline {
namespace {

struct CompletedOption {
  std::string name;  // with its dashes
  bool takes_value = false;
  std::string value_kind;  // type name; decides what may stand there
  std::string description;
};

struct CompletedCommand {
  std::string path;                                              // "trust add"; empty for the program itself
  std::vector<std::pair<std::string, std::string>> subcommands;  // name, description
  std::vector<CompletedOption> options;
  std::vector<std::string> argument_kinds;
  bool last_argument_repeats = false;
};

CompletedCommand Describe(const CLI::App& app, const std::string& path) {
  CompletedCommand command{.path = path};
  for (const CLI::App* subcommand : app.get_subcommands([](const CLI::App*) { return true; })) {
    command.subcommands.emplace_back(subcommand->get_name(), subcommand->get_description());
  }
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional()) {
      command.argument_kinds.push_back(option->get_type_name());
      command.last_argument_repeats = option->get_items_expected_max() > 1;
      continue;
    }
    for (const std::string& name : option->get_lnames()) {
      command.options.push_back(
          {"--" + name, option->get_items_expected_max() > 0, option->get_type_name(), option->get_description()});
    }
  }
  return command;
}

void Collect(const CLI::App& app, const std::string& path, std::vector<CompletedCommand>& commands) {
  commands.push_back(Describe(app, path));
  for (const CLI::App* subcommand : app.get_subcommands([](const CLI::App*) { return true; })) {
    Collect(*subcommand, path.empty() ? subcommand->get_name() : path + " " + subcommand->get_name(), commands);
  }
}

// Kinds of value that WordsOf lists.
constexpr std::array<std::string_view, 25> kWordKinds = {kRoleType,
                                                         kAccessRoleType,
                                                         kFormatType,
                                                         kShellType,
                                                         kDeviceStateType,
                                                         kCertificateStateType,
                                                         kRevocationReasonType,
                                                         kPurposeType,
                                                         kCertificateKeyType,
                                                         kOperationType,
                                                         kOperationStateType,
                                                         kAuthenticationType,
                                                         kCampaignAuthenticationType,
                                                         kDeviceKeyType,
                                                         kLscStatusType,
                                                         kSwitchType,
                                                         kListDigestType,
                                                         kSignerVersionType,
                                                         kTftpRoleType,
                                                         kNamesType,
                                                         kVerdictType,
                                                         kPhoneStatusType,
                                                         kForwardedRequestType,
                                                         kPhoneCureType,
                                                         kPlanSignerType};

// The words that may stand for a kind of value; empty when there is no list of them.
std::vector<std::string> WordsOf(std::string_view kind) {
  std::vector<std::string> words;
  if (kind == kRoleType) {
    for (const CertificateRole role : kAllCertificateRoles) words.emplace_back(CertificateRoleName(role));
  }
  if (kind == kAccessRoleType) words = {"viewer", "operator", "administrator", "auditor"};
  if (kind == kFormatType) words = {"table", "json", "csv"};
  if (kind == kShellType) words = {"bash", "zsh", "fish"};
  if (kind == kDeviceStateType) words = WordTexts(kDeviceStates);
  if (kind == kCertificateStateType) words = WordTexts(kCertificateStates);
  if (kind == kRevocationReasonType) words = WordTexts(kRevocationReasons);
  if (kind == kPurposeType) words = WordTexts(kClientAuthorityPurposes);
  if (kind == kCertificateKeyType) words = WordTexts(kCertificateKeys);
  if (kind == kOperationType) words = WordTexts(kDeviceOperations);
  if (kind == kOperationStateType) words = WordTexts(kOperationStates);
  if (kind == kAuthenticationType) words = WordTexts(kAuthenticationModes);
  if (kind == kCampaignAuthenticationType) words = WordTexts(kCampaignAuthenticationModes);
  if (kind == kDeviceKeyType) words.assign(kDeviceKeys.begin(), kDeviceKeys.end());
  if (kind == kLscStatusType) words = WordTexts(kLscStatuses);
  if (kind == kSwitchType) words = WordTexts(kSwitches);
  if (kind == kListDigestType) words = WordTexts(kListDigests);
  if (kind == kSignerVersionType) words = WordTexts(kSignerVersions);
  if (kind == kTftpRoleType) words = WordTexts(kTftpRoles);
  if (kind == kNamesType) words = WordTexts(kNameSeparators);
  if (kind == kVerdictType) words = WordTexts(kVerdicts);
  if (kind == kPhoneStatusType) words = PhoneStatusArguments();
  if (kind == kForwardedRequestType) words.assign(kForwardedRequests.begin(), kForwardedRequests.end());
  if (kind == kPhoneCureType) words = WordTexts(kPhoneCures);
  if (kind == kPlanSignerType) words = WordTexts(kPlanSigners);
  return words;
}

std::vector<std::string> NamesOf(const std::vector<CompletedOption>& options) {
  std::vector<std::string> names;
  for (const CompletedOption& option : options) names.push_back(option.name);
  return names;
}

std::vector<std::string> NamesOfOptionsWithValue(const std::vector<CompletedCommand>& commands) {
  std::set<std::string> names;
  for (const CompletedCommand& command : commands) {
    for (const CompletedOption& option : command.options) {
      if (option.takes_value) names.insert(option.name);
    }
  }
  return {names.begin(), names.end()};
}

// `text` in single quotes, with `escape` for each single quote in it.
std::string Quoted(std::string_view text, std::string_view escape) {
  std::string quoted = "'";
  for (const char character : text) {
    if (character == '\'') {
      quoted += escape;
    } else {
      quoted += character;
    }
  }
  return quoted + "'";
}

// What bash and zsh share. From the words before the cursor: `at` is the command they name, `arguments` how many of
// its arguments stand there, `kind` what is to be completed: a kind of value, or "" for commands and options.
std::string PosixAnalysis(const std::vector<CompletedCommand>& commands, std::string_view first_index,
                          std::string_view end_index, std::string_view words, std::string_view current,
                          std::string_view previous) {
  std::string script = fmt::format(
      "  local at='' kind='' word='' arguments=0 i\n"
      "  for ((i = {}; i < {}; i++)); do\n"
      "    word=${{{}[i]}}\n"
      "    case \"$word\" in\n"
      "      {}) i=$((i + 1)); continue ;;\n"
      "      -*) continue ;;\n"
      "    esac\n"
      "    case \"$at/$word\" in\n",
      first_index, end_index, words, absl::StrJoin(NamesOfOptionsWithValue(commands), "|"));
  for (const CompletedCommand& command : commands) {
    for (const auto& [name, description] : command.subcommands) {
      script += fmt::format("      '{}/{}') at='{}' ;;\n", command.path, name,
                            command.path.empty() ? name : command.path + " " + name);
    }
  }
  script += fmt::format(
      "      *) arguments=$((arguments + 1)) ;;\n"
      "    esac\n"
      "  done\n"
      "  case \"$at:{}\" in\n",
      previous);
  for (const CompletedCommand& command : commands) {
    for (const CompletedOption& option : command.options) {
      if (!option.takes_value) continue;
      // The program's own options may stand anywhere.
      script += fmt::format("    {}:{}) kind={} ;;\n", command.path.empty() ? "*" : "'" + command.path + "'",
                            option.name, option.value_kind);
    }
  }
  script += fmt::format(
      "  esac\n"
      "  if [[ -z $kind && {} != -* ]]; then\n"
      "    case \"$at:$arguments\" in\n",
      current);
  for (const CompletedCommand& command : commands) {
    for (size_t i = 0; i < command.argument_kinds.size(); ++i) {
      const bool repeats = command.last_argument_repeats && i + 1 == command.argument_kinds.size();
      script += fmt::format("      '{}:'{}) kind={} ;;\n", command.path, repeats ? "*" : std::to_string(i),
                            command.argument_kinds[i]);
    }
  }
  return script + "    esac\n  fi\n";
}

std::string BashScript(const std::string& program, const std::vector<CompletedCommand>& commands) {
  std::string script = fmt::format(
      "# bash completion for {0}; load it with: source <({0} completion bash)\n"
      "_{0}() {{\n"
      "  local words=() current previous candidates='' index\n"
      "  # bash splits words at colons.\n"
      "  for ((index = 0; index <= COMP_CWORD; index++)); do\n"
      "    if ((index > 1)) && [[ ${{COMP_WORDS[index]}} == :* || ${{COMP_WORDS[index - 1]}} == *: ]]; then\n"
      "      words[-1]+=${{COMP_WORDS[index]}}\n"
      "    else\n"
      "      words+=(\"${{COMP_WORDS[index]}}\")\n"
      "    fi\n"
      "  done\n"
      "  current=${{words[-1]}} previous=${{words[-2]}}\n"
      "  COMPREPLY=()\n"
      "  _{0}_candidates\n"
      "  if [[ $current == *:* ]]; then COMPREPLY=(\"${{COMPREPLY[@]#\"${{current%:*}}:\"}}\"); fi\n"
      "}}\n"
      "_{0}_candidates() {{\n",
      program);
  script += PosixAnalysis(commands, "1", "${#words[@]} - 1", "words", "$current", "$previous");
  script += fmt::format(
      "  case \"$kind\" in\n"
      "    {}) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$current\"); return ;;\n"
      "    {}) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- \"$current\"); return ;;\n",
      kFileType, kDirectoryType);
  for (const std::string_view kind : kWordKinds) {
    script += fmt::format("    {}) candidates='{}' ;;\n", kind, absl::StrJoin(WordsOf(kind), " "));
  }
  script +=
      "    ?*) return ;;\n"
      "    *)\n"
      "      case \"$at\" in\n";
  for (const CompletedCommand& command : commands) {
    std::vector<std::string> words;
    for (const auto& [name, description] : command.subcommands) words.push_back(name);
    if (!command.path.empty()) {
      for (const CompletedOption& option : command.options) words.push_back(option.name);
    }
    script += fmt::format("        '{}') candidates='{}' ;;\n", command.path, absl::StrJoin(words, " "));
  }
  script += fmt::format(
      "      esac\n"
      "      if [[ $current == -* ]]; then candidates=\"$candidates {}\"; fi ;;\n"
      "  esac\n"
      "  mapfile -t COMPREPLY < <(compgen -W \"$candidates\" -- \"$current\")\n"
      "}}\n"
      "complete -F _{} {}\n",
      absl::StrJoin(NamesOf(commands.front().options), " "), program, program);
  return script;
}

std::string ZshScript(const std::string& program, const std::vector<CompletedCommand>& commands) {
  std::string script = fmt::format(
      "#compdef {0}\n"
      "# zsh completion for {0}; put it as _{0} into a folder of your fpath, or source it after compinit.\n"
      "_{0}() {{\n"
      "  local current=${{words[CURRENT]}} previous=${{words[CURRENT - 1]}}\n"
      "  local -a candidates anywhere\n",
      program);
  script += PosixAnalysis(commands, "2", "CURRENT", "words", "$current", "$previous");
  script += fmt::format(
      "  case \"$kind\" in\n"
      "    {}) _files; return ;;\n"
      "    {}) _files -/; return ;;\n",
      kFileType, kDirectoryType);
  for (const std::string_view kind : kWordKinds) {
    script += fmt::format("    {}) compadd -- {}; return ;;\n", kind, absl::StrJoin(WordsOf(kind), " "));
  }
  constexpr std::string_view kQuoteInZsh = "'\\''";
  const auto option_line = [&](const CompletedOption& option) {
    return fmt::format("        {}\n", Quoted(option.name + ":" + option.description, kQuoteInZsh));
  };
  script +=
      "    ?*) return ;;\n"
      "  esac\n"
      "  anywhere=(\n";
  for (const CompletedOption& option : commands.front().options) script += option_line(option);
  script +=
      "  )\n"
      "  case \"$at\" in\n";
  for (const CompletedCommand& command : commands) {
    script += fmt::format("    '{}')\n      candidates=(\n", command.path);
    for (const auto& [name, description] : command.subcommands) {
      script += fmt::format("        {}\n", Quoted(name + ":" + description, kQuoteInZsh));
    }
    for (const CompletedOption& option : command.options) {
      script += option_line(option);
    }
    script += command.path.empty() ? "      ) ;;\n" : "        $anywhere\n      ) ;;\n";
  }
  script += fmt::format(
      "  esac\n"
      "  _describe 'command or option' candidates\n"
      "}}\n"
      "if [ \"${{funcstack[1]}}\" = _{0} ]; then _{0} \"$@\"; else compdef _{0} {0}; fi\n",
      program);
  return script;
}

std::string FishScript(const std::string& program, const std::vector<CompletedCommand>& commands) {
  constexpr std::string_view kQuoteInFish = "\\'";
  std::string script = fmt::format(
      "# fish completion for {0}; put it into ~/.config/fish/completions/{0}.fish\n"
      "function __{0}_words\n"
      "    set -l skip 0\n"
      "    for word in (commandline -opc)[2..-1]\n"
      "        if test $skip = 1\n"
      "            set skip 0\n"
      "            continue\n"
      "        end\n"
      "        switch $word\n"
      "            case {1}\n"
      "                set skip 1\n"
      "            case '-*'\n"
      "            case '*'\n"
      "                echo $word\n"
      "        end\n"
      "    end\n"
      "end\n"
      "# True when the command line names exactly this group so far.\n"
      "function __{0}_at\n"
      "    set -l words (__{0}_words)\n"
      "    test \"$words\" = \"$argv\"\n"
      "end\n"
      "# True when the command line begins with this command.\n"
      "function __{0}_in\n"
      "    set -l words (__{0}_words)\n"
      "    test (count $words) -ge (count $argv); or return 1\n"
      "    test \"$words[1..(count $argv)]\" = \"$argv\"\n"
      "end\n"
      "complete -c {0} -f\n",
      program, absl::StrJoin(NamesOfOptionsWithValue(commands), " "));
  const auto value = [](std::string_view kind) -> std::string {
    if (kind == kFileType) return " -F";
    if (kind == kDirectoryType) return " -a '(__fish_complete_directories)'";
    const std::vector<std::string> words = WordsOf(kind);
    return words.empty() ? "" : fmt::format(" -a '{}'", absl::StrJoin(words, " "));
  };
  for (const CompletedCommand& command : commands) {
    for (const auto& [name, description] : command.subcommands) {
      script += fmt::format("complete -c {0} -n '__{0}_at {1}' -a {2} -d {3}\n", program, command.path, name,
                            Quoted(description, kQuoteInFish));
    }
    const std::string condition = command.path.empty() ? "" : fmt::format(" -n '__{}_in {}'", program, command.path);
    for (const CompletedOption& option : command.options) {
      script += fmt::format("complete -c {}{} -l {}{}{} -d {}\n", program, condition, option.name.substr(2),
                            option.takes_value ? " -r" : "", option.takes_value ? value(option.value_kind) : "",
                            Quoted(option.description, kQuoteInFish));
    }
    for (const std::string& kind : command.argument_kinds) {
      if (const std::string values = value(kind); !values.empty()) {
        script += fmt::format("complete -c {}{}{}\n", program, condition, values);
      }
    }
  }
  return script;
}

}  // namespace

absl::StatusOr<Shell> ParseShell(std::string_view name) {
  if (name == "bash") return Shell::kBash;
  if (name == "zsh") return Shell::kZsh;
  if (name == "fish") return Shell::kFish;
  return InvalidArgument("unknown shell '{}'; the shells are bash, zsh, fish", name);
}

std::string CompletionScript(const CLI::App& app, Shell shell) {
  std::vector<CompletedCommand> commands;
  Collect(app, "", commands);
  // What the program itself takes (--help among it) may stand after every command, and is to be offered once.
  const std::vector<std::string> anywhere = NamesOf(commands.front().options);
  for (size_t i = 1; i < commands.size(); ++i) {
    std::erase_if(commands[i].options, [&](const CompletedOption& option) {
      return std::ranges::find(anywhere, option.name) != anywhere.end();
    });
  }
  switch (shell) {
    case Shell::kBash:
      return BashScript(app.get_name(), commands);
    case Shell::kZsh:
      return ZshScript(app.get_name(), commands);
    case Shell::kFish:
      return FishScript(app.get_name(), commands);
  }
  return "";
}

}  // namespace trustline
