#include "cli/trustctl/command.h"

#include <functional>
#include <map>
#include <sstream>

#include "cli/trustctl/command_line_error.h"
#include "cli/trustctl/completion.h"
#include "tests/support/run_program.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temporary_directory.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// Parses a command line; the text is "" when it is fine, else the error's.
std::string Parse(CommandLine& line, std::vector<std::string> arguments) {
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants them
  try {
    line.app.parse(std::move(arguments));
  } catch (const CLI::ParseError& error) {
    return error.what();
  }
  return "";
}

std::string Parse(std::vector<std::string> arguments) { return Parse(*MakeCommandLine(), std::move(arguments)); }

void Walk(CLI::App& app, const std::function<void(CLI::App&)>& visit) {
  visit(app);
  for (CLI::App* subcommand : app.get_subcommands([](CLI::App*) { return true; })) Walk(*subcommand, visit);
}

TEST(CommandTest, EveryCommandHasHelpWithAnExample) {
  const std::unique_ptr<CommandLine> line = MakeCommandLine();
  int commands = 0;
  Walk(line->app, [&](CLI::App& command) {
    ++commands;
    const std::string help = command.help();
    EXPECT_THAT(help, AllOf(HasSubstr("Example:\n  "), HasSubstr("trustctl"))) << command.get_name();
    EXPECT_FALSE(command.get_description().empty()) << command.get_name();
    for (const CLI::Option* option : command.get_options()) {
      EXPECT_FALSE(option->get_description().empty()) << command.get_name() << " " << option->get_name();
    }
  });
  EXPECT_GE(commands, 30);
}

TEST(CommandTest, ExamplesOfTheHelpAreUnderstood) {
  const std::unique_ptr<CommandLine> line = MakeCommandLine();
  int examples = 0;
  Walk(line->app, [&](CLI::App& command) {
    std::istringstream lines(command.get_footer());
    for (std::string text; std::getline(lines, text);) {
      constexpr std::string_view kStart = "  trustctl ";
      if (!text.starts_with(kStart)) continue;
      // The words as a shell makes them, without redirections and pipes.
      const ProgramResult words =
          RunProgram({"/bin/bash", "-c",
                      "printf '%s\\n' " + text.substr(kStart.size(), text.find_first_of("|>") - kStart.size())});
      std::vector<std::string> arguments;
      std::istringstream split(words.out);
      for (std::string word; std::getline(split, word);) arguments.push_back(word);
      EXPECT_EQ(Parse(arguments), "") << text;
      ++examples;
    }
  });
  EXPECT_GE(examples, 40);
}

TEST(CommandTest, RolesDoNotSwallowFiles) {
  EXPECT_EQ(Parse({"trust", "add", "--role", "CCM", "--role", "tftp", "a.pem", "b.pem"}), "");
  EXPECT_EQ(Parse({"trust", "add", "--role", "CCM,TFTP", "a.pem"}), "");
  EXPECT_THAT(Parse({"trust", "add", "--role", "CCM"}), HasSubstr("FILE"));
  EXPECT_THAT(Parse({"trust", "add", "--role", "PHONE", "a.pem"}), HasSubstr("the roles are SAST, CCM"));
}

TEST(CommandTest, GlobalOptionsMayStandAnywhere) {
  const std::unique_ptr<CommandLine> line = MakeCommandLine();
  EXPECT_EQ(Parse(*line, {"--cluster", "berlin", "trust", "list", "--output", "csv", "--timeout", "1m30s"}), "");
  EXPECT_EQ(line->options.cluster, "berlin");
  EXPECT_EQ(line->options.output, OutputFormat::kCsv);
  EXPECT_EQ(line->options.timeout, absl::Seconds(90));
  EXPECT_TRUE(line->chosen);
}

TEST(CommandTest, BadArgumentsAreUsageErrors) {
  EXPECT_THAT(Parse({"trust", "add", "--ttl", "soon", "a.pem"}), HasSubstr("--ttl"));
  EXPECT_THAT(Parse({"--timeout", "0s", "trust", "list"}), HasSubstr("more than zero"));
  EXPECT_THAT(Parse({"trust", "set", "3f2a91c0"}), HasSubstr("nothing to change"));
  EXPECT_THAT(Parse({"trust", "set", "3f2a91c0", "--anchor", "--no-anchor"}), HasSubstr("excludes"));
  EXPECT_EQ(Parse({"trust", "set", "3f2a91c0", "--no-anchor"}), "");
  EXPECT_THAT(Parse({"--output", "xml", "trust", "list"}), HasSubstr("table, json, csv"));
  EXPECT_THAT(Parse({"access", "grant", "anna", "king"}), HasSubstr("king"));
  EXPECT_THAT(Parse({"query", "--issuer", "CN=a", "--serial", "xyz"}), HasSubstr("--serial"));
  EXPECT_THAT(Parse({"audit", "list", "--since", "yesterday"}), HasSubstr("--since"));
  EXPECT_THAT(Parse({"audit", "list", "--limit", "-1"}), Not(IsEmpty()));
  EXPECT_THAT(Parse({"trust"}), Not(IsEmpty()));
  EXPECT_THAT(Parse({"trust", "frobnicate"}), Not(IsEmpty()));
}

TEST(CommandTest, ValuesOutOfRangeAreToldInPlainWords) {
  EXPECT_THAT(Parse({"audit", "list", "--limit", "-1"}), EndsWith("'-1' is not a whole number, 0 or more"));
  EXPECT_THAT(Parse({"audit", "list", "--limit", "99999999999999999999"}), HasSubstr("not a whole number"));
  EXPECT_EQ(Parse({"audit", "list", "--limit", "0"}), "");
  EXPECT_THAT(Parse({"trust", "add", "--role", "CCM", "--ttl", "31d", "a.pem"}),
              HasSubstr("'31d' is not whole seconds from 1s to 30d"));
  EXPECT_THAT(Parse({"trust", "set", "3f2a", "--ttl", "1500ms"}), HasSubstr("whole seconds"));
  EXPECT_EQ(Parse({"trust", "set", "3f2a", "--ttl", "30d"}), "");
  EXPECT_EQ(Parse({"trust", "set", "3f2a", "--ttl", "1s"}), "");
  EXPECT_THAT(Parse({"trust", "add", "a.pem"}), AllOf(HasSubstr("--role"), HasSubstr("--anchor")));
  EXPECT_EQ(Parse({"trust", "add", "--anchor", "a.pem"}), "");
  EXPECT_EQ(Parse({"trust", "add", "--role", "CCM", "-"}), "");
  EXPECT_THAT(Parse({"query", "--issuer", "nonsense", "--serial", "01"}), HasSubstr("--issuer"));
  EXPECT_THAT(Parse({"--cluster", "", "trust", "list"}), HasSubstr("--cluster"));
}

// The words for a mistake.
std::string ErrorText(std::vector<std::string> arguments) {
  const std::unique_ptr<CommandLine> line = MakeCommandLine();
  std::reverse(arguments.begin(), arguments.end());
  try {
    line->app.parse(std::move(arguments));
  } catch (const CLI::ParseError& error) {
    return CommandLineErrorText(line->app, error);
  }
  return "";
}

TEST(CommandTest, UnknownCommandsAreNamedWithTheNearest) {
  EXPECT_EQ(ErrorText({"trust", "lst"}),
            "'lst' is not a command of `trustctl trust`: did you mean `trustctl trust list`?");
  EXPECT_EQ(ErrorText({"trust", "crl", "ad", "a.crl"}),
            "'ad' is not a command of `trustctl trust crl`: did you mean `trustctl trust crl add`?");
  EXPECT_EQ(ErrorText({"trsut", "list"}), "'trsut' is not a command of `trustctl`: did you mean `trustctl trust`?");
  EXPECT_EQ(ErrorText({"help"}), "'help' is not a command of `trustctl`: did you mean `trustctl --help`?");
  EXPECT_EQ(
      ErrorText({"trust", "frobnicate"}),
      "'frobnicate' is not a command of `trustctl trust`, but these are: add, set, remove, list, show, export, crl");
  EXPECT_EQ(ErrorText({"audit", "--frobnicate"}), "'--frobnicate' is not an option of `trustctl audit`");
  EXPECT_EQ(ErrorText({"node"}), "`trustctl node` needs a command: token, list, approve, remove");
  EXPECT_THAT(ErrorText({"trust", "add", "--role", "CCM"}), HasSubstr("FILE"));
  EXPECT_THAT(ErrorText({"trust", "list", "extra"}), HasSubstr("extra"));
}

TEST(CommandTest, FingerprintPrefixes) {
  EXPECT_THAT(ParseFingerprintPrefix("3F:2A:91"), IsOkAndHolds("3f2a91"));
  EXPECT_THAT(ParseFingerprintPrefix(std::string(64, 'a')), IsOkAndHolds(std::string(64, 'a')));
  EXPECT_THAT(ParseFingerprintPrefix("3f2"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("4 to 64")));
  EXPECT_THAT(ParseFingerprintPrefix(std::string(65, 'a')), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParseFingerprintPrefix("3f2g"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("hexadecimal")));
  EXPECT_THAT(ParseFingerprintPrefix("%' OR 1"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(CommandTest, AnOptionTakesAValueEverywhereOrNowhere) {
  // Completion skips the word after such an option whatever the command is.
  const std::unique_ptr<CommandLine> line = MakeCommandLine();
  std::map<std::string, bool> takes_value;
  Walk(line->app, [&](CLI::App& command) {
    for (const CLI::Option* option : command.get_options()) {
      for (const std::string& name : option->get_lnames()) {
        const bool takes = option->get_items_expected_max() > 0;
        EXPECT_EQ(takes_value.try_emplace(name, takes).first->second, takes) << name;
      }
    }
  });
}

// What bash would offer for the words, the last of which is being typed.
std::vector<std::string> Complete(const std::vector<std::string>& words) {
  const TemporaryDirectory directory;
  const std::unique_ptr<CommandLine> line = MakeCommandLine();
  const std::string script = directory.WriteFile("completion", CompletionScript(line->app, Shell::kBash));
  directory.WriteFile("here/cert.pem", "");
  std::string command =
      "compopt() { :; }; source " + script + "; cd " + directory.path().string() + "/here; COMP_WORDS=(";
  for (const std::string& word : words) command += "'" + word + "' ";
  command += "); COMP_CWORD=" + std::to_string(words.size() - 1) + "; _trustctl; printf '%s\\n' \"${COMPREPLY[@]}\"";
  const ProgramResult result = RunProgram({"/bin/bash", "-c", command});
  EXPECT_EQ(result.err, "");
  std::vector<std::string> offered;
  std::istringstream lines(result.out);
  for (std::string text; std::getline(lines, text);) {
    if (!text.empty()) offered.push_back(text);
  }
  return offered;
}

TEST(CompletionTest, BashAcceptsTheScript) {
  const TemporaryDirectory directory;
  const std::unique_ptr<CommandLine> line = MakeCommandLine();
  const std::string script = directory.WriteFile("completion", CompletionScript(line->app, Shell::kBash));
  const ProgramResult result = RunProgram({"/bin/bash", "-n", script});
  EXPECT_EQ(result.exit_status, 0) << result.err;
}

TEST(CompletionTest, BashOffersCommandsOptionsAndValues) {
  EXPECT_THAT(Complete({"trustctl", "tr"}), ElementsAre("trust"));
  EXPECT_THAT(Complete({"trustctl", "trust", "s"}), ElementsAre("set", "show"));
  EXPECT_THAT(Complete({"trustctl", "--output", "json", "trust", "crl", ""}),
              AllOf(Contains("add"), Contains("list"), Contains("remove"), Not(Contains("show"))));
  EXPECT_THAT(Complete({"trustctl", "--output", ""}), ElementsAre("table", "json", "csv"));
  EXPECT_THAT(Complete({"trustctl", "trust", "add", "--role", "C"}), ElementsAre("CCM", "CCM+TFTP", "CAPF"));
  EXPECT_THAT(Complete({"trustctl", "trust", "add", "--an"}), ElementsAre("--anchor"));
  EXPECT_THAT(Complete({"trustctl", "trust", "add", "--clu"}), ElementsAre("--cluster"));
  EXPECT_THAT(Complete({"trustctl", "--clu"}), ElementsAre("--cluster"));
  EXPECT_THAT(Complete({"trustctl", "--h"}), ElementsAre("--help"));
  EXPECT_THAT(Complete({"trustctl", "trust", "add", "--h"}), ElementsAre("--help"));
  EXPECT_THAT(Complete({"trustctl", "trust", "add", "--role", "CCM", "ce"}), ElementsAre("cert.pem"));
  EXPECT_THAT(Complete({"trustctl", "access", "grant", "anna", "op"}), ElementsAre("operator"));
  EXPECT_THAT(Complete({"trustctl", "access", "grant", "an"}), IsEmpty());
  EXPECT_THAT(Complete({"trustctl", "completion", ""}), ElementsAre("bash", "zsh", "fish"));
  EXPECT_THAT(Complete({"trustctl", "device", "list", "--state", "re"}), ElementsAre("replaced", "retired"));
  EXPECT_THAT(Complete({"trustctl", "lsc", "list", "--state", "s"}), ElementsAre("signed"));
  // As bash splits them.
  EXPECT_THAT(Complete({"trustctl", "ca", "csr", "--key", "r"}), ElementsAre("rsa:2048", "rsa:3072", "rsa:4096"));
  EXPECT_THAT(Complete({"trustctl", "ca", "csr", "--key", "rsa", ":"}), ElementsAre("2048", "3072", "4096"));
  EXPECT_THAT(Complete({"trustctl", "ca", "csr", "--key", "ec", ":", "secp3"}), ElementsAre("secp384r1"));
  EXPECT_THAT(Complete({"trustctl", "audit", "list", "--since", "2026-11-22T08", ":", "00", ":", "00Z", "--act"}),
              ElementsAre("--actor", "--action"));
  EXPECT_THAT(Complete({"trustctl", "lsc", "revoke", "--reason", "key"}), ElementsAre("keyCompromise"));
  EXPECT_THAT(Complete({"trustctl", "ca", "client-authority", "add", "--purpose", "s"}), ElementsAre("small-business"));
  EXPECT_THAT(Complete({"trustctl", "itl", "settings", "set", "--digest", "sha5"}), ElementsAre("sha512"));
  EXPECT_THAT(Complete({"trustctl", "itl", "server", "add", "--role", "TF"}), ElementsAre("TFTP"));
}

TEST(CompletionTest, BashOffersTheWordsOfEnrolment) {
  EXPECT_THAT(Complete({"trustctl", "capf", "schedule", ""}), ElementsAre("install", "fetch", "delete", "none"));
  const std::vector<std::string> install = {"trustctl", "capf", "schedule", "install"};
  const auto after_install = [&install](std::vector<std::string> words) {
    words.insert(words.begin(), install.begin(), install.end());
    return Complete(words);
  };
  EXPECT_THAT(after_install({"--auth", "certificate"}), ElementsAre("certificate-lsc", "certificate-mic"));
  EXPECT_THAT(after_install({"--key", "ec-preferred", ":", "secp3"}), ElementsAre("secp384r1"));
  EXPECT_THAT(after_install({"--codes-out", "ce"}), ElementsAre("cert.pem"));
  EXPECT_THAT(after_install({"SEP00"}), IsEmpty());
  EXPECT_THAT(Complete({"trustctl", "capf", "list", "--operation", ""}), ElementsAre("install", "fetch", "delete"));
  EXPECT_THAT(Complete({"trustctl", "capf", "list", "--state", "p"}), ElementsAre("pending"));
  EXPECT_THAT(Complete({"trustctl", "capf", "report", "--operation-status", "in"}), ElementsAre("in-progress"));
  EXPECT_THAT(Complete({"trustctl", "capf", "report", "--lsc-status", "un"}), ElementsAre("unacknowledged"));
  EXPECT_THAT(Complete({"trustctl", "capf", "policy", "set", "--require-sudi", ""}), ElementsAre("on", "off"));
  EXPECT_THAT(Complete({"trustctl", "capf", "campaign", "create", "--auth", ""}),
              ElementsAre("null", "certificate-lsc", "certificate-mic"));
  EXPECT_THAT(Complete({"trustctl", "capf", "campaign", "create", "--is"}), ElementsAre("--issuer"));
}

TEST(CompletionTest, BashOffersTheWordsOfPhones) {
  EXPECT_THAT(Complete({"trustctl", "phones", "report", "--status", "M"}), ElementsAre("Match", "Mismatch"));
  EXPECT_THAT(Complete({"trustctl", "phones", "watch", "--status", "Not"}), ElementsAre("Not-Installed"));
  EXPECT_THAT(Complete({"trustctl", "phones", "report", "--cure", "re"}), ElementsAre("reset", "restore-reach"));
  EXPECT_THAT(Complete({"trustctl", "forwarder", "add", "--requests", "RE"}), ElementsAre("REFER", "REGISTER"));
  EXPECT_THAT(Complete({"trustctl", "forwarder", "claims", ""}), ElementsAre("accept", "refuse"));
  EXPECT_THAT(Complete({"trustctl", "itl", "server", "name", ""}), ElementsAre("list", "add", "remove"));
}

TEST(CompletionTest, BashOffersTheWordsOfPlansAndCaution) {
  EXPECT_THAT(Complete({"trustctl", "plan", "r"}), ElementsAre("rollover", "rollback", "run", "resume"));
  EXPECT_THAT(Complete({"trustctl", "plan", "rollover", "--signer", ""}),
              ElementsAre("callmanager", "itlrecovery", "tvs", "capf"));
  EXPECT_THAT(Complete({"trustctl", "plan", "rollover", "--certificate", "ce"}), ElementsAre("cert.pem"));
  EXPECT_THAT(Complete({"trustctl", "trust", "remove", "3f2a", "--"}),
              AllOf(Contains("--plan"), Contains("--accept-unproven"), Contains("--override"), Contains("--reason"),
                    Contains("--yes")));
}

TEST(CompletionTest, ZshAndFishOfferWhatStandsAnywhereOnce) {
  const std::unique_ptr<CommandLine> line = MakeCommandLine();
  const auto times = [&](Shell shell, const std::string& text) {
    const std::string script = CompletionScript(line->app, shell);
    int count = 0;
    for (size_t at = script.find(text); at != std::string::npos; at = script.find(text, at + 1)) ++count;
    return count;
  };
  EXPECT_EQ(times(Shell::kFish, " -l help "), 1);
  // For the program itself, and in the list that every command adds.
  EXPECT_EQ(times(Shell::kZsh, "'--help:"), 2);
}

TEST(CompletionTest, ZshAndFishScriptsNameEveryCommandAndOption) {
  const std::unique_ptr<CommandLine> line = MakeCommandLine();
  const std::string zsh = CompletionScript(line->app, Shell::kZsh);
  const std::string fish = CompletionScript(line->app, Shell::kFish);
  EXPECT_TRUE(zsh.starts_with("#compdef trustctl\n"));
  Walk(line->app, [&](CLI::App& command) {
    if (command.get_parent() != nullptr) {
      EXPECT_THAT(zsh, HasSubstr("'" + command.get_name() + ":"));
      EXPECT_THAT(fish, HasSubstr(" -a " + command.get_name() + " -d "));
    }
    for (const CLI::Option* option : command.get_options()) {
      for (const std::string& name : option->get_lnames()) {
        EXPECT_THAT(zsh, HasSubstr("'--" + name + ":"));
        EXPECT_THAT(fish, HasSubstr(" -l " + name + " "));
      }
    }
  });
}

}  // namespace
}  // namespace trustline
