// The frame that every command of trustctl stands in.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/trustctl/output.h"
#include "common/device/certificate_role.h"

namespace trustline {

class Environment;

inline constexpr int kExitSuccess = 0;
inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;
// With --plan: the change would be refused.
inline constexpr int kExitWouldBeRefused = 3;

// Options that stand before or after any command.
struct GlobalOptions {
  std::string context_path;  // --context or TRUSTLINE_CONTEXT
  std::string cluster;       // empty: the context's
  OutputFormat output = OutputFormat::kTable;
  std::optional<absl::Duration> timeout;
};

// InvalidArgument for a mistake that shows only once a command runs; the exit status is kExitUsage.
absl::Status UsageError(std::string_view message);
bool IsUsageError(const absl::Status& status);

// For commands that say something with kExitFailure: the exit status of this error. Usage errors keep theirs.
absl::Status WithExitStatus(absl::Status status, int exit_status);
int ExitStatusOf(const absl::Status& status);

// What a command does once its arguments are known; the result is the exit status.
using CommandAction = std::function<absl::StatusOr<int>(Environment&)>;

// The command line: the tree of commands, and the one that was chosen by parsing.
struct CommandLine {
  CLI::App app;
  GlobalOptions options;
  CommandAction chosen;
};

// A group of commands or a command. `example` is whole command lines, one a line, shown under "Example:".
CLI::App& AddGroup(CLI::App& parent, const std::string& name, const std::string& description, std::string_view example);
CLI::App& AddCommand(CommandLine& line, CLI::App& parent, const std::string& name, const std::string& description,
                     std::string_view example, CommandAction action);

// Kinds of argument. They check and convert the text, so that a mistake is a usage error, and their type name tells
// shell completion what may stand there.
inline constexpr std::string_view kFileType = "FILE";
inline constexpr std::string_view kDirectoryType = "DIR";
inline constexpr std::string_view kRoleType = "ROLE";
inline constexpr std::string_view kAccessRoleType = "ACCESS-ROLE";
inline constexpr std::string_view kFormatType = "FORMAT";
inline constexpr std::string_view kShellType = "SHELL";
inline constexpr std::string_view kDeviceStateType = "DEVICE-STATE";
inline constexpr std::string_view kCertificateStateType = "CERTIFICATE-STATE";
inline constexpr std::string_view kRevocationReasonType = "REVOCATION-REASON";
inline constexpr std::string_view kPurposeType = "PURPOSE";
inline constexpr std::string_view kCertificateKeyType = "KEY-KIND";
inline constexpr std::string_view kOperationType = "OPERATION";
inline constexpr std::string_view kOperationStateType = "OPERATION-STATE";
inline constexpr std::string_view kAuthenticationType = "AUTH-MODE";
inline constexpr std::string_view kCampaignAuthenticationType = "CAMPAIGN-AUTH-MODE";
inline constexpr std::string_view kDeviceKeyType = "DEVICE-KEY";
inline constexpr std::string_view kLscStatusType = "LSC-STATUS";
inline constexpr std::string_view kSwitchType = "ON-OFF";
inline constexpr std::string_view kListDigestType = "LIST-DIGEST";
inline constexpr std::string_view kSignerVersionType = "SIGNER-VERSION";
inline constexpr std::string_view kTftpRoleType = "TFTP-ROLE";
inline constexpr std::string_view kNamesType = "NAME-FORM";
inline constexpr std::string_view kVerdictType = "VERDICT";
inline constexpr std::string_view kPhoneStatusType = "PHONE-STATUS";
inline constexpr std::string_view kForwardedRequestType = "SIP-REQUEST";
inline constexpr std::string_view kPhoneCureType = "PHONE-CURE";
inline constexpr std::string_view kPlanSignerType = "PLAN-SIGNER";

CLI::Option* AddFile(CLI::App& command, const std::string& name, std::string& path, const std::string& description);
CLI::Option* AddRoles(CLI::App& command, const std::string& name, std::vector<CertificateRole>& roles,
                      const std::string& description);
// More than zero.
CLI::Option* AddDuration(CLI::App& command, const std::string& name, std::optional<absl::Duration>& duration,
                         const std::string& description);
// Whole seconds from one to `longest`.
CLI::Option* AddDurationUpTo(absl::Duration longest, CLI::App& command, const std::string& name,
                             std::optional<absl::Duration>& duration, const std::string& description);
// 0 or more.
CLI::Option* AddCount(CLI::App& command, const std::string& name, int64_t& count, const std::string& description);
// A whole number from `least` to `most`, shown as `type` in the help.
CLI::Option* AddNumber(CLI::App& command, const std::string& name, const std::string& type, int64_t least, int64_t most,
                       std::optional<int64_t>& number, const std::string& description);
// RFC 3339, or a duration before now ("24h"). Kept as text: see Environment::ResolveTime.
CLI::Option* AddTime(CLI::App& command, const std::string& name, std::optional<std::string>& time,
                     const std::string& description);
// A distinguished name as DistinguishedName::FromText reads it, kept as text.
CLI::Option* AddSubject(CLI::App& command, std::string& subject, const std::string& description);
// The first hexadecimal digits of a SHA-256; at least 4.
CLI::Option* AddFingerprintPrefix(CLI::App& command, std::string& prefix);

// Lower-case digits without separators. InvalidArgument for fewer than 4 digits, more than 64, or anything else.
absl::StatusOr<std::string> ParseFingerprintPrefix(std::string_view text);

// The whole tree, ready to parse.
std::unique_ptr<CommandLine> MakeCommandLine();

// Each adds its group to the tree.
void AddTrustCommands(CommandLine& line);
void AddCrlCommands(CommandLine& line, CLI::App& trust);
void AddVerificationCommands(CommandLine& line);
void AddTvsQuestionCommands(CommandLine& line, CLI::App& tvs);
void AddAuditCommands(CommandLine& line);
void AddAccessCommands(CommandLine& line);
void AddClusterCommands(CommandLine& line);
void AddNodeCommands(CommandLine& line);
void AddDeviceCommands(CommandLine& line);
void AddLscCommands(CommandLine& line);
void AddLscEnrollCommand(CommandLine& line, CLI::App& lsc);
void AddLscConfirmCommand(CommandLine& line, CLI::App& lsc);
void AddLscPurgeCommand(CommandLine& line, CLI::App& lsc);
void AddAuthorityCommands(CommandLine& line);
void AddAuthorityReportCommands(CommandLine& line, CLI::App& ca);
void AddKeyAdmissionCommands(CommandLine& line, CLI::App& ca);
void AddListenerCommands(CommandLine& line);
void AddTrustListCommands(CommandLine& line);
void AddAdoptCommands(CommandLine& line);
void AddPhoneCommands(CommandLine& line);
void AddPlanCommands(CommandLine& line);
void AddForwarderCommands(CommandLine& line);
void AddCapfCommands(CommandLine& line);
void AddCapfScheduleCommands(CommandLine& line, CLI::App& capf);
void AddCapfReportCommands(CommandLine& line, CLI::App& capf);
void AddCapfPolicyCommands(CommandLine& line, CLI::App& capf);
void AddCapfCampaignCommands(CommandLine& line, CLI::App& capf);

}  // namespace trustline
