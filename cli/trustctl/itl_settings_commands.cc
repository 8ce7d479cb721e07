// trustctl itl settings, able, device: how lists are made, what phones can read, lists of single devices.
#include <fmt/format.h>

#include <memory>

#include "cli/trustctl/caution_arguments.h"
#include "cli/trustctl/device_arguments.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/preflight_print.h"
#include "cli/trustctl/trust_list_arguments.h"
#include "cli/trustctl/trust_list_commands.h"
#include "cli/trustctl/trust_list_records.h"
#include "cli/trustctl/trust_list_words.h"
#include "cli/trustctl/trust_records.h"
#include "common/status/status.h"
#include "proto/trust_list.grpc.pb.h"

namespace trustline {
namespace {

absl::StatusOr<int> ShowSettings(Environment& environment) {
  v1::ListTrustListsRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_kind(v1::TRUST_LIST_KIND_ITL);
  ASSIGN_OR_RETURN(Client<v1::TrustLists> client, environment.Connect<v1::TrustLists>(kItld));
  ASSIGN_OR_RETURN(const v1::ListTrustListsResponse response,
                   (environment.Ask(client, &v1::TrustLists::Stub::ListTrustLists, request)));
  if (!response.has_policy()) {
    return FailedPrecondition("the cluster has no trust lists yet; the first: trustctl itl server add NAME");
  }
  Record record = SettingsRecord(response.policy());
  if (environment.options().output != OutputFormat::kTable) {
    record.Add("notices", "Notices", NoticesCell(response.notices()));
  }
  WriteRecord(environment.out(), environment.options().output, record);
  WriteNotices(environment, response.notices());
  return kExitSuccess;
}

struct SettingsArguments {
  v1::CertificateRole tftp_role = v1::CERTIFICATE_ROLE_UNSPECIFIED;
  std::optional<int64_t> recovery_years;
  v1::ListDigest digest = v1::LIST_DIGEST_UNSPECIFIED;
  v1::SignerVersion signer_version = v1::SIGNER_VERSION_UNSPECIFIED;
  NameSeparator names = NameSeparator::kNotGiven;
  CautionArguments caution;
};

absl::StatusOr<int> SetSettings(Environment& environment, const SettingsArguments& arguments) {
  v1::ChangeTrustListPolicyRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_tftp_role(arguments.tftp_role);
  request.set_recovery_years(static_cast<int32_t>(arguments.recovery_years.value_or(0)));
  request.set_digest(arguments.digest);
  request.set_signer_version(arguments.signer_version);
  if (arguments.names != NameSeparator::kNotGiven) request.set_vendor_names(arguments.names == NameSeparator::kVendor);
  RETURN_IF_ERROR(FillCaution(environment, arguments.caution, request));
  ASSIGN_OR_RETURN(Client<v1::TrustLists> client, environment.Connect<v1::TrustLists>(kItld));
  ASSIGN_OR_RETURN(const v1::ChangeTrustListPolicyResponse response,
                   (environment.Ask(client, &v1::TrustLists::Stub::ChangeTrustListPolicy, request)));
  if (arguments.caution.plan) return WritePlanned(environment, response);
  const OutputFormat format = environment.options().output;
  Record record = SettingsRecord(response.policy());
  AddPreFlight(record, format, response.has_preflight() ? &response.preflight() : nullptr);
  WriteRecord(environment.out(), format, record);
  WritePreFlightLine(environment, response.preflight());
  return kExitSuccess;
}

void AddSettings(CommandLine& line, CLI::App& itl) {
  CLI::App& settings = AddGroup(itl, "settings", "How the cluster's lists are made",
                                "  trustctl itl settings show\n"
                                "  trustctl itl settings set --digest sha512");
  AddCommand(line, settings, "show", "Show how lists are made", "  trustctl itl settings show --output json",
             ShowSettings);
  auto arguments = std::make_shared<SettingsArguments>();
  CLI::App& set = AddCommand(line, settings, "set", "Change how lists are made; what is not given stays",
                             "  trustctl itl settings set --digest sha512 --signer-version 1.1\n"
                             "  trustctl itl settings set --digest sha512 --plan\n"
                             "  trustctl itl settings set --names vendor --recovery-years 10",
                             [arguments](Environment& environment) { return SetSettings(environment, *arguments); });
  AddWord(set, "--tftp-role", kTftpRoleType, kTftpRoles, arguments->tftp_role,
          "CCM+TFTP, or TFTP where the call manager is another machine");
  AddRecoveryYears(set, arguments->recovery_years);
  AddListDigest(set, arguments->digest);
  AddSignerVersion(set, arguments->signer_version);
  AddWord(set, "--names", kNamesType, kNameSeparators, arguments->names,
          "comma (CN=a,O=b), or vendor (CN=a;O=b, with a DNS name in every record)");
  AddCaution(set, arguments->caution);
  set.parse_complete_callback([arguments] {
    if (arguments->tftp_role == v1::CERTIFICATE_ROLE_UNSPECIFIED && !arguments->recovery_years &&
        arguments->digest == v1::LIST_DIGEST_UNSPECIFIED &&
        arguments->signer_version == v1::SIGNER_VERSION_UNSPECIFIED && arguments->names == NameSeparator::kNotGiven) {
      throw CLI::ValidationError(
          "set", "nothing to change: give --tftp-role, --recovery-years, --digest, --signer-version or --names");
    }
  });
}

struct AbleArguments {
  std::string device;
  std::optional<std::string> model;
  bool sha512 = false;
  bool version_1_1 = false;
};

absl::StatusOr<int> RecordAble(Environment& environment, const AbleArguments& arguments) {
  v1::RecordReadingRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_device(arguments.device);
  request.set_model(arguments.model.value_or(""));
  request.set_sha512(arguments.sha512);
  request.set_version_1_1(arguments.version_1_1);
  ASSIGN_OR_RETURN(Client<v1::TrustLists> client, environment.Connect<v1::TrustLists>(kItld));
  ASSIGN_OR_RETURN(const v1::RecordReadingResponse response,
                   (environment.Ask(client, &v1::TrustLists::Stub::RecordReading, request)));
  const std::string who = arguments.model ? fmt::format("model {}", *arguments.model) : arguments.device;
  WriteResult(
      environment.out(), environment.options().output,
      fmt::format("recorded: {} reads {} and signer version {}; of {} phones in service, {} are not recorded as "
                  "able to read SHA-512, {} not signer version 1.1",
                  who, arguments.sha512 ? "SHA-512" : "SHA-1 only", arguments.version_1_1 ? "1.1" : "1.0 only",
                  response.devices(), response.not_able_sha512(), response.not_able_version_1_1()),
      Record()
          .Add("device", "DEVICE", TextCell(arguments.device))
          .Add("model", "MODEL", arguments.model ? Cell(*arguments.model) : Cell())
          .Add("sha512", "SHA-512", arguments.sha512)
          .Add("signer_version_1_1", "SIGNER VERSION 1.1", arguments.version_1_1)
          .Add("devices_in_service", "IN SERVICE", response.devices())
          .Add("not_able_sha512", "NOT ABLE SHA-512", response.not_able_sha512())
          .Add("not_able_signer_version_1_1", "NOT ABLE 1.1", response.not_able_version_1_1()));
  return kExitSuccess;
}

void AddAble(CommandLine& line, CLI::App& itl) {
  auto arguments = std::make_shared<AbleArguments>();
  CLI::App& able = AddCommand(
      line, itl, "able",
      "Record what a device, or all of a model, can read besides SHA-1 and signer version 1.0; without flags: nothing",
      "  trustctl itl able --model 8845 --sha512 --signer-version-1.1\n"
      "  trustctl itl able --device SEP001122334455 --sha512",
      [arguments](Environment& environment) { return RecordAble(environment, *arguments); });
  CLI::Option* const device = AddDeviceName(able, "--device", arguments->device, "This device");
  AddText(able, "--model", kMaxDeviceText, arguments->model, "All devices of this model")->excludes(device);
  able.add_flag("--sha512", arguments->sha512, "It reads lists with digest SHA-512");
  able.add_flag("--signer-version-1.1", arguments->version_1_1, "It reads lists with signer version 1.1");
  able.parse_complete_callback([arguments] {
    if (arguments->device.empty() && arguments->model.value_or("").empty()) {
      throw CLI::ValidationError("able", "say whose ability it is: give --device or --model");
    }
  });
}

struct DeviceArguments {
  std::string device;
  std::string tftp_server;
  v1::ListDigest digest = v1::LIST_DIGEST_UNSPECIFIED;
  v1::SignerVersion signer_version = v1::SIGNER_VERSION_UNSPECIFIED;
  CautionArguments caution;
};

absl::StatusOr<int> SetDeviceList(Environment& environment, const DeviceArguments& arguments, bool remove) {
  v1::SetDeviceListRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_tftp_server(arguments.tftp_server);
  request.set_device(arguments.device);
  request.set_digest(arguments.digest);
  request.set_signer_version(arguments.signer_version);
  request.set_remove(remove);
  RETURN_IF_ERROR(FillCaution(environment, arguments.caution, request));
  ASSIGN_OR_RETURN(Client<v1::TrustLists> client, environment.Connect<v1::TrustLists>(kItld));
  ASSIGN_OR_RETURN(const v1::PublishResponse response,
                   (environment.Ask(client, &v1::TrustLists::Stub::SetDeviceList, request)));
  if (arguments.caution.plan) return WritePlanned(environment, response);
  if (environment.options().output == OutputFormat::kTable) {
    environment.out() << arguments.device
                      << (remove ? " has no list of its own any more: it takes the list of all phones again\n"
                                 : " has a list of its own\n");
    if (remove && response.lists().empty()) {
      WritePreFlightLine(environment, response.preflight());
      WriteNotices(environment, response.notices());
      return kExitSuccess;
    }
  }
  WriteOutcomes(environment, response,
                Record().Add("device", "DEVICE", arguments.device).Add("own_list", "OWN LIST", !remove));
  return OutcomeExit(response, /*may_wait=*/true);
}

void AddDevice(CommandLine& line, CLI::App& itl) {
  CLI::App& device = AddGroup(itl, "device", "Lists of single devices, which differ in digest or signer version",
                              "  trustctl itl device set SEP001122334455 --digest sha512\n"
                              "  trustctl itl device remove SEP001122334455");
  const auto add_common = [](CLI::App& command, DeviceArguments& arguments) {
    AddDeviceName(command, "DEVICE", arguments.device, "Name of the device")->required();
    command.add_option("--tftp-server", arguments.tftp_server, "Whose list; not needed when there is only one")
        ->type_name("NAME");
  };
  auto set_arguments = std::make_shared<DeviceArguments>();
  CLI::App& set = AddCommand(
      line, device, "set", "Give a device a list of its own",
      "  trustctl itl device set SEP001122334455 --digest sha512 --signer-version 1.1 --plan\n"
      "  trustctl itl device set SEP001122334455 --digest sha512 --signer-version 1.1",
      [set_arguments](Environment& environment) { return SetDeviceList(environment, *set_arguments, false); });
  add_common(set, *set_arguments);
  AddListDigest(set, set_arguments->digest);
  AddSignerVersion(set, set_arguments->signer_version);
  AddCaution(set, set_arguments->caution);
  auto removed = std::make_shared<DeviceArguments>();
  CLI::App& remove = AddCommand(line, device, "remove", "Give a device the list of all phones again",
                                "  trustctl itl device remove SEP001122334455", [removed](Environment& environment) {
                                  return SetDeviceList(environment, *removed, true);
                                });
  add_common(remove, *removed);
  AddCaution(remove, removed->caution);
}

}  // namespace

void AddListSettingsCommands(CommandLine& line, CLI::App& itl) {
  AddSettings(line, itl);
  AddAble(line, itl);
  AddDevice(line, itl);
}

}  // namespace trustline
