#include "cli/trustctl/command.h"

#include <fmt/format.h>

#include <cctype>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "cli/trustctl/completion.h"
#include "cli/trustctl/environment.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "common/x509/distinguished_name.h"

namespace trustline {
namespace {

constexpr size_t kMinFingerprintDigits = 4;
constexpr size_t kMaxFingerprintDigits = 64;
constexpr char kUsageErrorType[] = "trustctl/usage-error";
constexpr char kExitStatusType[] = "trustctl/exit-status";

// Turns a Status at the conversion of an argument into what CLI11 understands as a usage error.
template <typename T>
T ValueOrThrow(const CLI::App& command, absl::StatusOr<T> value, const std::string& option) {
  if (!value.ok()) {
    throw CLI::ValidationError(command.get_name() + " " + option, std::string(StatusMessage(value.status())));
  }
  return *std::move(value);
}

// The usage line tells how often an argument stands; beside its description the name is enough.
class HelpFormatter final : public CLI::Formatter {
 public:
  std::string make_option_opts(const CLI::Option* option) const override {
    return option->get_positional() ? "" : CLI::Formatter::make_option_opts(option);
  }
};

std::string Examples(std::string_view example) { return fmt::format("Example:\n{}", example); }

void AddGlobalOptions(CommandLine& line) {
  GlobalOptions& options = line.options;
  line.app
      .add_option("--context", options.context_path,
                  "Context file: who you are and where the services are (DIR/admin/context.toml of `trustline up "
                  "--data DIR`)")
      ->envname("TRUSTLINE_CONTEXT")
      ->type_name(std::string(kFileType));
  line.app.add_option("--cluster", options.cluster, "Cluster to work on; otherwise the context's")
      ->type_name("NAME")
      ->check([](const std::string& name) {
        return name.empty() ? std::string("the name is empty: name a cluster, or leave the option out") : std::string();
      });
  line.app
      .add_option_function<std::string>(
          "--output",
          [&line](const std::string& name) {
            line.options.output = ValueOrThrow(line.app, ParseOutputFormat(name), "--output");
          },
          "table, json or csv; a table unless given")
      ->type_name(std::string(kFormatType));
  AddDuration(line.app, "--timeout", options.timeout,
              "How long a call may take (10s, 5m); otherwise 30s, and no limit for imports, exports and audits");
}

}  // namespace

absl::Status UsageError(std::string_view message) {
  absl::Status status = InvalidArgument("{}", message);
  status.SetPayload(kUsageErrorType, absl::Cord());
  return status;
}

bool IsUsageError(const absl::Status& status) { return status.GetPayload(kUsageErrorType).has_value(); }

absl::Status WithExitStatus(absl::Status status, int exit_status) {
  status.SetPayload(kExitStatusType, absl::Cord(std::to_string(exit_status)));
  return status;
}

int ExitStatusOf(const absl::Status& status) {
  if (IsUsageError(status)) return kExitUsage;
  const auto chosen = status.GetPayload(kExitStatusType);
  int exit_status = kExitFailure;
  return chosen && absl::SimpleAtoi(std::string(*chosen), &exit_status) ? exit_status : kExitFailure;
}

CLI::App& AddGroup(CLI::App& parent, const std::string& name, const std::string& description,
                   std::string_view example) {
  CLI::App& group = *parent.add_subcommand(name, description);
  group.require_subcommand(1);
  group.footer(Examples(example));
  return group;
}

CLI::App& AddCommand(CommandLine& line, CLI::App& parent, const std::string& name, const std::string& description,
                     std::string_view example, CommandAction action) {
  CLI::App& command = *parent.add_subcommand(name, description);
  command.require_subcommand(0);
  command.footer(Examples(example));
  command.callback([&line, action = std::move(action)] { line.chosen = action; });
  return command;
}

CLI::Option* AddFile(CLI::App& command, const std::string& name, std::string& path, const std::string& description) {
  return command.add_option(name, path, description)->type_name(std::string(kFileType));
}

CLI::Option* AddRoles(CLI::App& command, const std::string& name, std::vector<CertificateRole>& roles,
                      const std::string& description) {
  return command
      .add_option_function<std::vector<std::string>>(
          name,
          [&command, &roles, name](const std::vector<std::string>& texts) {
            for (const std::string& text : texts) {
              roles.push_back(ValueOrThrow(command, ParseCertificateRole(text), name));
            }
          },
          description)
      ->type_name(std::string(kRoleType))
      ->delimiter(',')
      ->allow_extra_args(false);
}

CLI::Option* AddDuration(CLI::App& command, const std::string& name, std::optional<absl::Duration>& duration,
                         const std::string& description) {
  return command
      .add_option_function<std::string>(
          name,
          [&command, &duration, name](const std::string& text) {
            duration = ValueOrThrow(command, ParseDuration(text), name);
            if (*duration <= absl::ZeroDuration()) {
              throw CLI::ValidationError(command.get_name() + " " + name, "must be more than zero");
            }
          },
          description)
      ->type_name("DURATION");
}

CLI::Option* AddDurationUpTo(absl::Duration longest, CLI::App& command, const std::string& name,
                             std::optional<absl::Duration>& duration, const std::string& description) {
  return AddDuration(command, name, duration, description)->check([longest](const std::string& text) {
    const absl::StatusOr<absl::Duration> given = ParseDuration(text);
    const bool fits = !given.ok() || (*given >= absl::Seconds(1) && *given <= longest &&
                                      *given == absl::Trunc(*given, absl::Seconds(1)));
    return fits ? std::string() : fmt::format("'{}' is not whole seconds from 1s to {}", text, DurationText(longest));
  });
}

CLI::Option* AddCount(CLI::App& command, const std::string& name, int64_t& count, const std::string& description) {
  return command.add_option(name, count, description)
      ->type_name("COUNT")
      ->check([](const std::string& text) {
        int64_t number = -1;
        const bool fits = absl::SimpleAtoi(text, &number) && number >= 0;
        return fits ? std::string() : fmt::format("'{}' is not a whole number, 0 or more", text);
      })
      ->capture_default_str();
}

CLI::Option* AddNumber(CLI::App& command, const std::string& name, const std::string& type, int64_t least, int64_t most,
                       std::optional<int64_t>& number, const std::string& description) {
  return command
      .add_option_function<std::string>(
          name,
          [&command, &number, name, least, most](const std::string& text) {
            int64_t given = 0;
            if (!absl::SimpleAtoi(text, &given) || given < least || given > most) {
              throw CLI::ValidationError(command.get_name() + " " + name,
                                         fmt::format("'{}' is not a whole number from {} to {}", text, least, most));
            }
            number = given;
          },
          description)
      ->type_name(type);
}

CLI::Option* AddTime(CLI::App& command, const std::string& name, std::optional<std::string>& time,
                     const std::string& description) {
  return command
      .add_option_function<std::string>(
          name,
          [&command, &time, name](const std::string& text) {
            const absl::Status is_time = ParseTime(text, absl::UTCTimeZone()).status();
            if (!is_time.ok() && !ParseDuration(text).ok()) {
              throw CLI::ValidationError(
                  command.get_name() + " " + name,
                  fmt::format("{}; or as a span of time: 90d, 24h, 15m", StatusMessage(is_time)));
            }
            time = text;
          },
          description)
      ->type_name("TIME");
}

CLI::Option* AddSubject(CLI::App& command, std::string& subject, const std::string& description) {
  return command.add_option("--subject", subject, description)->type_name("NAME")->check([](const std::string& text) {
    const absl::StatusOr<DistinguishedName> name = DistinguishedName::FromText(text);
    return name.ok() ? std::string() : std::string(StatusMessage(name.status()));
  });
}

CLI::Option* AddFingerprintPrefix(CLI::App& command, std::string& prefix) {
  return command
      .add_option_function<std::string>(
          "PREFIX",
          [&command, &prefix](const std::string& text) {
            prefix = ValueOrThrow(command, ParseFingerprintPrefix(text), "PREFIX");
          },
          "First digits of the SHA-256 fingerprint, at least 4")
      ->required()
      ->type_name("HEX");
}

absl::StatusOr<std::string> ParseFingerprintPrefix(std::string_view text) {
  std::string digits;
  for (const char character : text) {
    if (character == ':') continue;
    if (std::isxdigit(static_cast<unsigned char>(character)) == 0) {
      return InvalidArgument("'{}' is not the beginning of a fingerprint: it has hexadecimal digits only", text);
    }
    digits += static_cast<char>(std::tolower(static_cast<unsigned char>(character)));
  }
  if (digits.size() < kMinFingerprintDigits || digits.size() > kMaxFingerprintDigits) {
    return InvalidArgument("'{}' is not the beginning of a fingerprint: give {} to {} hexadecimal digits", text,
                           kMinFingerprintDigits, kMaxFingerprintDigits);
  }
  return digits;
}

std::unique_ptr<CommandLine> MakeCommandLine() {
  auto line = std::make_unique<CommandLine>();
  CLI::App& app = line->app;
  app.name("trustctl");
  app.formatter(std::make_shared<HelpFormatter>());
  app.description(
      "Administers Trustline: the trust store that phones ask, their trust lists, devices, their certificates and how "
      "they get them, the audit log, people and machines.\n"
      "Exit status: 0 success, 1 failure (or an invalid verdict), 2 wrong usage, 3 a change that --plan says would be "
      "refused.");
  app.footer(
      Examples("  export TRUSTLINE_CONTEXT=var/admin/context.toml\n"
               "  trustctl trust add --role APP-SERVER cert.pem\n"
               "  trustctl trust list --output json\n"
               "  trustctl verify cert.pem"));
  app.require_subcommand(1);
  app.set_version_flag("--version", "trustctl " TRUSTLINE_VERSION, "Print the version of this program");
  // Global options may stand after the command too.
  app.fallthrough();
  AddGlobalOptions(*line);

  AddTrustCommands(*line);
  AddVerificationCommands(*line);
  AddAuditCommands(*line);
  AddAccessCommands(*line);
  AddClusterCommands(*line);
  AddNodeCommands(*line);
  AddDeviceCommands(*line);
  AddLscCommands(*line);
  AddAuthorityCommands(*line);
  AddCapfCommands(*line);
  AddListenerCommands(*line);
  AddTrustListCommands(*line);
  AddPhoneCommands(*line);
  AddPlanCommands(*line);
  AddForwarderCommands(*line);
  AddAdoptCommands(*line);

  auto shell = std::make_shared<Shell>();
  CLI::App& completion =
      AddCommand(*line, app, "completion", "Print a script that completes trustctl's commands in your shell",
                 "  source <(trustctl completion bash)\n"
                 "  trustctl completion zsh > ~/.zfunc/_trustctl\n"
                 "  trustctl completion fish > ~/.config/fish/completions/trustctl.fish",
                 [&app, shell](Environment& environment) -> absl::StatusOr<int> {
                   environment.out() << CompletionScript(app, *shell);
                   return kExitSuccess;
                 });
  completion
      .add_option_function<std::string>(
          "SHELL",
          [&completion, shell](const std::string& name) {
            *shell = ValueOrThrow(completion, ParseShell(name), "SHELL");
          },
          "bash, zsh or fish")
      ->required()
      ->type_name(std::string(kShellType));

  AddCommand(*line, app, "version", "Print the version of this program", "  trustctl version",
             [](Environment& environment) -> absl::StatusOr<int> {
               WriteResult(environment.out(), environment.options().output, "trustctl " TRUSTLINE_VERSION,
                           Record().Add("version", "VERSION", std::string(TRUSTLINE_VERSION)));
               return kExitSuccess;
             });
  return line;
}

}  // namespace trustline
