// trustctl capf schedule ...: what devices are to do the next time they come.
#include <fmt/format.h>

#include <memory>
#include <unordered_set>

#include "cli/trustctl/capf_outcomes.h"
#include "cli/trustctl/capf_schedule.h"
#include "cli/trustctl/capf_words.h"
#include "cli/trustctl/certificate_input.h"
#include "cli/trustctl/codes_file.h"
#include "cli/trustctl/command.h"
#include "cli/trustctl/device_arguments.h"
#include "cli/trustctl/device_import.h"
#include "cli/trustctl/escaping.h"
#include "cli/trustctl/trust_records.h"
#include "common/service/text_file.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr int64_t kLeastDigits = 4;
constexpr int64_t kMostDigits = 10;

struct ScheduleArguments {
  v1::CertificateOperation operation = v1::CERTIFICATE_OPERATION_UNSPECIFIED;
  std::vector<std::string> devices;  // or those of from_csv
  std::string from_csv;
  v1::EnrolmentAuthentication authentication = v1::ENROLMENT_AUTHENTICATION_UNSPECIFIED;
  std::optional<v1::KeySpecification> key;
  std::optional<std::string> by;
  std::optional<int64_t> digits;
  std::string codes_out;
  bool all_or_nothing = false;
  bool no_add = false;

  bool installs() const { return operation == v1::CERTIFICATE_OPERATION_INSTALL; }
  v1::EnrolmentAuthentication AuthenticationOrDefault() const {
    if (authentication != v1::ENROLMENT_AUTHENTICATION_UNSPECIFIED) return authentication;
    if (operation == v1::CERTIFICATE_OPERATION_NONE) return authentication;
    return installs() ? v1::ENROLMENT_AUTHENTICATION_STRING : v1::ENROLMENT_AUTHENTICATION_CERTIFICATE_LSC;
  }
  bool by_string() const { return AuthenticationOrDefault() == v1::ENROLMENT_AUTHENTICATION_STRING; }
};

// Bad lines are told on the way.
absl::StatusOr<DeviceLines> ReadDevices(Environment& environment, const ScheduleArguments& arguments) {
  if (arguments.from_csv.empty()) {
    DeviceLines named;
    std::unordered_set<std::string> seen;
    for (const std::string& device : arguments.devices) {
      if (seen.insert(device).second) named.devices.push_back({0, device});
    }
    return named;
  }
  const std::string& path = arguments.from_csv;
  const absl::StatusOr<std::string> text = ReadTextFile(path, kMaxPhoneExportSize);
  if (!text.ok()) return WithFileAdvice(text.status());
  absl::StatusOr<DeviceLines> lines = ReadDeviceLines(*text);
  if (!lines.ok()) return Annotate(lines.status(), path);
  for (const PhoneExport::BadLine& bad : lines->bad_lines) {
    environment.err() << EscapeForTerminal(fmt::format("{}:{}: {}", path, bad.line, bad.reason)) << "\n";
  }
  environment.err().flush();
  const size_t bad_lines = lines->bad_lines.size();
  const std::string bad_lines_text = fmt::format("{} bad line{}", bad_lines, bad_lines == 1 ? "" : "s");
  if (bad_lines > 0 && arguments.all_or_nothing) {
    return InvalidArgument("{}: {}, nothing was scheduled: correct the file, or leave out --all-or-nothing", path,
                           bad_lines_text);
  }
  if (lines->devices.empty()) {
    return InvalidArgument("{}: there is no device in it{}", path, bad_lines > 0 ? ", only " + bad_lines_text : "");
  }
  return lines;
}

// Takes the devices out whose strings stand in the file already; the result is how many.
absl::StatusOr<int64_t> PassOver(Environment& environment, const CodesFile& codes,
                                 std::vector<DeviceLines::Line>& devices) {
  std::unordered_set<std::string> unknown = codes.devices();
  for (const DeviceLines::Line& line : devices) unknown.erase(line.device);
  if (!unknown.empty()) {
    return InvalidArgument(
        "{} has authentication strings of devices that are not among these, such as {}: it is of another run; choose "
        "another name",
        codes.path(), *unknown.begin());
  }
  const auto count = static_cast<int64_t>(
      std::erase_if(devices, [&](const DeviceLines::Line& line) { return codes.devices().contains(line.device); }));
  if (count > 0) {
    environment.err() << EscapeForTerminal(fmt::format("trustctl: note: {} device{} passed over: {} has {} string{} "
                                                       "already; for new ones choose another file",
                                                       count, count == 1 ? "" : "s", codes.path(),
                                                       count == 1 ? "its" : "their", count == 1 ? "" : "s"))
                      << std::endl;
  }
  return count;
}

absl::StatusOr<v1::ScheduleOperationsRequest::Options> OptionsOf(Environment& environment,
                                                                 const ScheduleArguments& arguments) {
  v1::ScheduleOperationsRequest::Options options;
  ASSIGN_OR_RETURN(*options.mutable_cluster(), environment.cluster());
  options.set_operation(arguments.operation);
  options.set_authentication(arguments.AuthenticationOrDefault());
  if (arguments.key) *options.mutable_key() = *arguments.key;
  if (arguments.by) {
    ASSIGN_OR_RETURN(const absl::Time deadline, ResolveExpiry(environment, *arguments.by));
    *options.mutable_deadline() = TimeToProto(deadline);
  }
  options.set_string_digits(static_cast<int32_t>(arguments.digits.value_or(0)));
  options.set_add_unknown_devices(arguments.installs() && !arguments.no_add);
  options.set_all_or_nothing(arguments.all_or_nothing);
  return options;
}

absl::StatusOr<int> Schedule(Environment& environment, const ScheduleArguments& arguments) {
  const bool is_table = environment.options().output == OutputFormat::kTable;
  const bool from_file = !arguments.from_csv.empty();
  const bool to_file = !arguments.codes_out.empty();
  if (arguments.by_string() && from_file && !to_file && is_table) {
    return UsageError(
        "the authentication strings of a file's devices need a place: --codes-out FILE.csv, or --output csv or json to "
        "have them on the standard output");
  }
  ASSIGN_OR_RETURN(const v1::ScheduleOperationsRequest::Options options, OptionsOf(environment, arguments));
  ASSIGN_OR_RETURN(DeviceLines lines, ReadDevices(environment, arguments));
  OutcomeForm form{.operation = arguments.operation,
                   .by_string = arguments.by_string(),
                   .all_or_nothing = arguments.all_or_nothing,
                   .file = arguments.from_csv,
                   .bad_lines = static_cast<int64_t>(lines.bad_lines.size())};
  if (to_file || (from_file && is_table)) {
    form.kind = OutcomeForm::Kind::kSummary;
  } else if (!from_file && lines.devices.size() == 1) {
    form.kind = OutcomeForm::Kind::kOneDevice;
  }
  std::unique_ptr<CodesFile> codes;
  if (to_file) {
    ASSIGN_OR_RETURN(codes, CodesFile::Open(arguments.codes_out));
    ASSIGN_OR_RETURN(form.passed_over, PassOver(environment, *codes, lines.devices));
    form.codes = codes.get();
  }
  OutcomeReport report(environment, form, lines.devices);
  if (lines.devices.empty()) return report.Finish(absl::OkStatus(), 0, /*in_doubt=*/false);
  std::vector<std::string> names;
  names.reserve(lines.devices.size());
  for (const DeviceLines::Line& line : lines.devices) names.push_back(line.device);
  const ScheduleEnd end = ScheduleOperations(environment, options, names,
                                             [&report](const auto& response) { return report.Take(response); });
  return report.Finish(end.status, end.answered, end.in_doubt);
}

void AddDevicesAndFile(CLI::App& command, ScheduleArguments& arguments) {
  AddDeviceNames(command, "DEVICE", arguments.devices, "Names of the devices: SEP001122334455");
  AddFile(
      command, "--from-csv", arguments.from_csv,
      "Instead: the devices of this file, a CSV with a column Device Name, Name or Device as exports have, or names, "
      "one a line. Bad lines are told, and the others scheduled");
  command.add_flag("--all-or-nothing", arguments.all_or_nothing,
                   "Schedule nothing when there is a bad line, or a device is refused");
}

// `by_default` is how devices prove themselves unless --auth says otherwise.
void AddProofAndTime(CLI::App& command, ScheduleArguments& arguments, std::string_view by_default) {
  AddWord(command, "--auth", kAuthenticationType, kAuthenticationModes, arguments.authentication,
          fmt::format("How devices prove themselves: string (digits that are typed at the phone), null (not at all), "
                      "certificate-lsc or certificate-mic (by their own certificate, that one first); {} unless given",
                      by_default));
  AddTime(command, "--by", arguments.by,
          "Until when: RFC 3339, or so long from now (10d); 10 days unless given, at most 366");
  AddNumber(command, "--digits", "COUNT", kLeastDigits, kMostDigits, arguments.digits,
            "Digits of an authentication string: 4 to 10; 8 unless given");
  AddFile(command, "--codes-out", arguments.codes_out,
          "File for the authentication strings (CSV, mode 0600). They grow in it batch by batch; after an interruption "
          "the same command goes on with the devices that it does not have");
}

void CheckArguments(const std::string& name, const ScheduleArguments& arguments) {
  if (arguments.devices.empty() == arguments.from_csv.empty()) {
    throw CLI::ValidationError(name, "say which devices: give DEVICE... or --from-csv FILE");
  }
  if (arguments.by_string()) return;
  if (arguments.digits) throw CLI::ValidationError(name, "--digits is for authentication strings: --auth string");
  if (!arguments.codes_out.empty()) {
    throw CLI::ValidationError(name, "--codes-out is for authentication strings: --auth string");
  }
}

CLI::App& AddOperation(CommandLine& line, CLI::App& schedule, v1::CertificateOperation operation,
                       const std::string& description, std::string_view example,
                       const std::shared_ptr<ScheduleArguments>& arguments) {
  arguments->operation = operation;
  const std::string name = WordFor(kCertificateOperations, operation);
  CLI::App& command = AddCommand(line, schedule, name, description, example,
                                 [arguments](Environment& environment) { return Schedule(environment, *arguments); });
  AddDevicesAndFile(command, *arguments);
  command.parse_complete_callback([name, arguments] { CheckArguments(name, *arguments); });
  return command;
}

}  // namespace

void AddCapfScheduleCommands(CommandLine& line, CLI::App& capf) {
  CLI::App& schedule =
      AddGroup(capf, "schedule", "Say what devices are to do the next time they come; what was pending is replaced",
               "  trustctl capf schedule install SEP001122334455\n"
               "  trustctl capf schedule install --from-csv phones.csv --codes-out codes.csv --by 14d\n"
               "  trustctl capf schedule none SEP001122334455");

  auto installed = std::make_shared<ScheduleArguments>();
  CLI::App& install = AddOperation(
      line, schedule, v1::CERTIFICATE_OPERATION_INSTALL,
      "Get a certificate, or a new one (Install/Upgrade). The string of a single device stands alone on the last line",
      "  trustctl capf schedule install SEP001122334455 | tail -1\n"
      "  trustctl capf schedule install SEP001122334455 --auth certificate-mic --key ec-preferred:secp256r1\n"
      "  trustctl capf schedule install --from-csv phones.csv --codes-out codes.csv\n"
      "  trustctl capf report --lsc-status none --output csv > without.csv\n"
      "  trustctl capf schedule install --from-csv without.csv --auth certificate-mic --all-or-nothing",
      installed);
  AddProofAndTime(install, *installed, "string");
  AddDeviceKey(install, installed->key,
               "The key that the device makes: rsa:2048 (unless given), rsa:3072, rsa:4096; ec: or ec-preferred: (RSA "
               "when the phone cannot) and secp256r1, secp384r1 or secp521r1");
  install.add_flag("--no-add", installed->no_add, "Refuse devices that are not known; they are added otherwise");

  auto fetched = std::make_shared<ScheduleArguments>();
  CLI::App& fetch = AddOperation(line, schedule, v1::CERTIFICATE_OPERATION_FETCH,
                                 "Show its certificate (Troubleshoot): `trustctl capf show` has it then",
                                 "  trustctl capf schedule fetch SEP001122334455 --by 1d", fetched);
  AddProofAndTime(fetch, *fetched, "certificate-lsc");

  auto deleted = std::make_shared<ScheduleArguments>();
  CLI::App& remove = AddOperation(line, schedule, v1::CERTIFICATE_OPERATION_DELETE,
                                  "Delete its certificate, which is revoked then (Delete)",
                                  "  trustctl capf schedule delete SEP001122334455 --auth null", deleted);
  AddProofAndTime(remove, *deleted, "certificate-lsc");

  AddOperation(line, schedule, v1::CERTIFICATE_OPERATION_NONE,
               "Do nothing: what is pending is taken back (No Pending Operation)",
               "  trustctl capf schedule none SEP001122334455\n"
               "  trustctl capf schedule none --from-csv phones.csv",
               std::make_shared<ScheduleArguments>());
}

}  // namespace trustline
