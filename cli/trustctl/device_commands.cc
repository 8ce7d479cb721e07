// trustctl device ...: the phones and gateways of a cluster.
#include <fmt/format.h>

#include <memory>

#include "cli/trustctl/command.h"
#include "cli/trustctl/device_arguments.h"
#include "cli/trustctl/device_import.h"
#include "cli/trustctl/enumeration_words.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/issuance_records.h"
#include "cli/trustctl/trust_records.h"
#include "common/status/status.h"
#include "proto/device.grpc.pb.h"

namespace trustline {
namespace {

constexpr int kPageSize = 500;

std::vector<Column> DeviceColumns() {
  return {{"name", "NAME"},
          {"model", "MODEL"},
          {"protocol", "PROTOCOL"},
          {"load", "LOAD"},
          {"site", "SITE"},
          {"owner", "OWNER"},
          {"state", "STATE"},
          {"description", "DESCRIPTION"},
          {"state_reason", "REASON", false},
          {"replaced_by", "REPLACED BY", false},
          {"added_by", "ADDED BY", false},
          {"added_at", "ADDED", false},
          {"changed_at", "CHANGED", false}};
}

Row DeviceRow(const v1::Device& device) {
  const v1::DeviceData& data = device.data();
  return {device.name(),
          data.model(),
          data.protocol(),
          data.load(),
          data.site(),
          data.owner(),
          WordCell(kDeviceStates, device.state()),
          data.description(),
          device.state_reason(),
          device.replaced_by(),
          device.added_by(),
          TimestampCell(device.added_at()),
          TimestampCell(device.changed_at())};
}

Record DeviceRecord(const v1::Device& device) {
  return Record()
      .Add("name", "Name", device.name())
      .Add("model", "Model", device.data().model())
      .Add("protocol", "Protocol", device.data().protocol())
      .Add("load", "Load", device.data().load())
      .Add("site", "Site", device.data().site())
      .Add("owner", "Owner", device.data().owner())
      .Add("description", "Description", device.data().description())
      .Add("state", "State", WordCell(kDeviceStates, device.state()))
      .Add("state_reason", "Reason", device.state_reason())
      .Add("replaced_by", "Replaced by", device.replaced_by())
      .Add("added_by", "Added by", device.added_by())
      .Add("added_at", "Added", TimestampCell(device.added_at()))
      .Add("changed_at", "Changed", TimestampCell(device.changed_at()));
}

// What is said of a device; what was not given stays as it is.
struct DataArguments {
  std::string name;
  std::optional<std::string> model;
  std::optional<std::string> protocol;
  std::optional<std::string> load;
  std::optional<std::string> site;
  std::optional<std::string> owner;
  std::optional<std::string> description;
};

void AddDataArguments(CLI::App& command, DataArguments& arguments) {
  AddDeviceName(command, "NAME", arguments.name, "Name of the device: SEP001122334455")->required();
  AddText(command, "--model", kMaxDeviceText, arguments.model, "Model, as the call manager names it");
  AddText(command, "--protocol", kMaxDeviceText, arguments.protocol, "SIP or SCCP");
  AddText(command, "--load", kMaxDeviceText, arguments.load, "Firmware");
  AddText(command, "--site", kMaxDeviceText, arguments.site, "Where it stands");
  AddText(command, "--owner", kMaxDeviceText, arguments.owner, "Whose it is");
  AddText(command, "--description", kMaxDeviceText, arguments.description, "Anything else");
}

absl::StatusOr<int> Add(Environment& environment, const DataArguments& arguments) {
  v1::AddDeviceRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_name(arguments.name);
  v1::DeviceData& data = *request.mutable_data();
  data.set_model(arguments.model.value_or(""));
  data.set_protocol(arguments.protocol.value_or(""));
  data.set_load(arguments.load.value_or(""));
  data.set_site(arguments.site.value_or(""));
  data.set_owner(arguments.owner.value_or(""));
  data.set_description(arguments.description.value_or(""));
  ASSIGN_OR_RETURN(Client<v1::Devices> client, environment.Connect<v1::Devices>(kCad));
  ASSIGN_OR_RETURN(const v1::AddDeviceResponse response,
                   (environment.Ask(client, &v1::Devices::Stub::AddDevice, request)));
  WriteResult(environment.out(), environment.options().output, fmt::format("added {}", response.device().name()),
              DeviceRecord(response.device()));
  return kExitSuccess;
}

absl::StatusOr<int> Set(Environment& environment, const DataArguments& arguments) {
  v1::SetDeviceRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_name(arguments.name);
  if (arguments.model) request.set_model(*arguments.model);
  if (arguments.protocol) request.set_protocol(*arguments.protocol);
  if (arguments.load) request.set_load(*arguments.load);
  if (arguments.site) request.set_site(*arguments.site);
  if (arguments.owner) request.set_owner(*arguments.owner);
  if (arguments.description) request.set_description(*arguments.description);
  ASSIGN_OR_RETURN(Client<v1::Devices> client, environment.Connect<v1::Devices>(kCad));
  ASSIGN_OR_RETURN(const v1::SetDeviceResponse response,
                   (environment.Ask(client, &v1::Devices::Stub::SetDevice, request)));
  const std::string& name = response.device().name();
  WriteResult(environment.out(), environment.options().output,
              response.changed() ? fmt::format("changed {}", name) : fmt::format("{}: nothing changed", name),
              DeviceRecord(response.device()).Add("changed", "Changed now", response.changed()));
  return kExitSuccess;
}

void AddDataCommands(CommandLine& line, CLI::App& device) {
  auto added = std::make_shared<DataArguments>();
  CLI::App& add = AddCommand(line, device, "add", "Add a device",
                             "  trustctl device add SEP001122334455 --model 8841 --protocol SIP --site Berlin",
                             [added](Environment& environment) { return Add(environment, *added); });
  AddDataArguments(add, *added);

  auto changed = std::make_shared<DataArguments>();
  CLI::App& set = AddCommand(line, device, "set", "Change what is said of a device; what is not given stays",
                             "  trustctl device set SEP001122334455 --site Hamburg --owner ''",
                             [changed](Environment& environment) { return Set(environment, *changed); });
  AddDataArguments(set, *changed);
  set.parse_complete_callback([changed] {
    if (!changed->model && !changed->protocol && !changed->load && !changed->site && !changed->owner &&
        !changed->description) {
      throw CLI::ValidationError(
          "set", "nothing to change: give --model, --protocol, --load, --site, --owner or --description");
    }
  });
}

struct ListArguments {
  std::string name_prefix;
  std::optional<std::string> model;
  std::optional<std::string> site;
  v1::DeviceState state = v1::DEVICE_STATE_UNSPECIFIED;
};

absl::StatusOr<int> List(Environment& environment, const ListArguments& arguments) {
  v1::ListDevicesRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_name_prefix(arguments.name_prefix);
  request.set_model(arguments.model.value_or(""));
  request.set_site(arguments.site.value_or(""));
  request.set_state(arguments.state);
  request.set_page_size(kPageSize);
  ASSIGN_OR_RETURN(Client<v1::Devices> client, environment.Connect<v1::Devices>(kCad));
  ASSIGN_OR_RETURN(v1::ListDevicesResponse page, (environment.Ask(client, &v1::Devices::Stub::ListDevices, request)));
  ListWriter writer(environment.out(), environment.options().output, DeviceColumns(), "no devices");
  while (true) {
    for (const v1::Device& device : page.devices()) writer.Add(DeviceRow(device));
    if (page.next_page_token().empty()) break;
    request.set_page_token(page.next_page_token());
    ASSIGN_OR_RETURN(page, (environment.Ask(client, &v1::Devices::Stub::ListDevices, request)));
  }
  writer.Finish();
  return kExitSuccess;
}

void AddListCommand(CommandLine& line, CLI::App& device) {
  auto arguments = std::make_shared<ListArguments>();
  CLI::App& command = AddCommand(line, device, "list", "List devices",
                                 "  trustctl device list --site Berlin\n"
                                 "  trustctl device list --name SEP0011 --state retired --output csv",
                                 [arguments](Environment& environment) { return List(environment, *arguments); });
  AddDeviceNamePrefix(command, "--name", arguments->name_prefix, "Only devices whose name begins so");
  AddText(command, "--model", kMaxDeviceText, arguments->model, "Only devices of exactly this model");
  AddText(command, "--site", kMaxDeviceText, arguments->site, "Only devices of exactly this site");
  AddWord(command, "--state", kDeviceStateType, kDeviceStates, arguments->state,
          "Only devices in this state: in-service, replaced or retired");
}

absl::StatusOr<int> Show(Environment& environment, const std::string& name) {
  v1::ShowDeviceRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_name(name);
  ASSIGN_OR_RETURN(Client<v1::Devices> devices, environment.Connect<v1::Devices>(kCad));
  ASSIGN_OR_RETURN(const v1::ShowDeviceResponse response,
                   (environment.Ask(devices, &v1::Devices::Stub::ShowDevice, request)));
  Record record = DeviceRecord(response.device());
  record.list = {"certificates",
                 {{"serial", "SERIAL"},
                  {"certificate_state", "STATE"},
                  {"issuer", "ISSUER"},
                  {"not_before", "VALID FROM"},
                  {"not_after", "EXPIRES"},
                  {"public_key", "KEY"},
                  {"sha256", "FINGERPRINT"},
                  {"requested_by", "REQUESTED BY"},
                  {"revoked_at", "REVOKED"}},
                 {}};
  v1::ListCertificatesRequest filter;
  filter.set_cluster(request.cluster());
  filter.set_device_prefix(name);
  ASSIGN_OR_RETURN(Client<v1::Issuance> issuance, environment.Connect<v1::Issuance>(kCad));
  RETURN_IF_ERROR(
      ForEachCertificate(environment, issuance, filter, /*limit=*/0, [&](const v1::IssuedCertificate& certificate) {
        // The name may be the beginning of another one.
        if (certificate.device() != name) return absl::OkStatus();
        record.list->rows.push_back({certificate.serial(), WordCell(kCertificateStates, certificate.state()),
                                     certificate.issuer(), TimestampCell(certificate.not_before()),
                                     TimestampCell(certificate.not_after()), certificate.public_key(),
                                     certificate.sha256().empty() ? Cell() : Cell(Fingerprint{certificate.sha256()}),
                                     certificate.requested_by(), TimestampCell(certificate.revoked_at())});
        return absl::OkStatus();
      }));
  WriteRecord(environment.out(), environment.options().output, record);
  return kExitSuccess;
}

struct ReplaceArguments {
  std::string old_name;
  std::string new_name;
};

absl::StatusOr<int> Replace(Environment& environment, const ReplaceArguments& arguments) {
  v1::ReplaceDeviceRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_old_name(arguments.old_name);
  request.set_new_name(arguments.new_name);
  ASSIGN_OR_RETURN(Client<v1::Devices> client, environment.Connect<v1::Devices>(kCad));
  ASSIGN_OR_RETURN(const v1::ReplaceDeviceResponse response,
                   (environment.Ask(client, &v1::Devices::Stub::ReplaceDevice, request)));
  WriteResult(environment.out(), environment.options().output,
              fmt::format("{0} takes the place of {1}; {2} of {1} revoked", response.device().name(),
                          arguments.old_name, CertificateCountText(response.revoked())),
              DeviceRecord(response.device()).Add("revoked", "Revoked", response.revoked()));
  return kExitSuccess;
}

struct RetireArguments {
  std::string name;
  std::optional<std::string> reason;
};

absl::StatusOr<int> Retire(Environment& environment, const RetireArguments& arguments) {
  v1::RetireDeviceRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_name(arguments.name);
  request.set_reason(arguments.reason.value_or(""));
  ASSIGN_OR_RETURN(Client<v1::Devices> client, environment.Connect<v1::Devices>(kCad));
  ASSIGN_OR_RETURN(const v1::RetireDeviceResponse response,
                   (environment.Ask(client, &v1::Devices::Stub::RetireDevice, request)));
  WriteResult(environment.out(), environment.options().output,
              fmt::format("retired {}; {} revoked", response.device().name(), CertificateCountText(response.revoked())),
              DeviceRecord(response.device()).Add("revoked", "Revoked", response.revoked()));
  return kExitSuccess;
}

absl::StatusOr<int> Remove(Environment& environment, const std::string& name) {
  v1::RemoveDeviceRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_name(name);
  ASSIGN_OR_RETURN(Client<v1::Devices> client, environment.Connect<v1::Devices>(kCad));
  RETURN_IF_ERROR((environment.Ask(client, &v1::Devices::Stub::RemoveDevice, request)).status());
  WriteResult(environment.out(), environment.options().output,
              fmt::format("removed {}; the certificates that it was issued stay on record", name),
              Record().Add("removed", "REMOVED", true).Add("name", "NAME", name));
  return kExitSuccess;
}

void AddLifeCommands(CommandLine& line, CLI::App& device) {
  auto shown = std::make_shared<std::string>();
  CLI::App& show = AddCommand(line, device, "show", "Show a device and its certificates",
                              "  trustctl device show SEP001122334455 --output json",
                              [shown](Environment& environment) { return Show(environment, *shown); });
  AddDeviceName(show, "NAME", *shown, "Name of the device")->required();

  auto replaced = std::make_shared<ReplaceArguments>();
  CLI::App& replace =
      AddCommand(line, device, "replace",
                 "Put other hardware into a device's place: it gets the old one's data, and the old one's certificates "
                 "are revoked",
                 "  trustctl device replace SEP001122334455 SEP66778899AABB",
                 [replaced](Environment& environment) { return Replace(environment, *replaced); });
  AddDeviceName(replace, "OLD", replaced->old_name, "The device that goes")->required();
  AddDeviceName(replace, "NEW", replaced->new_name, "The device that comes; added when it is not known yet")
      ->required();

  auto retired = std::make_shared<RetireArguments>();
  CLI::App& retire =
      AddCommand(line, device, "retire",
                 "Take a device out of service for good: its certificates are revoked, and it gets no more",
                 "  trustctl device retire SEP001122334455 --reason 'stolen, ticket 4711'",
                 [retired](Environment& environment) { return Retire(environment, *retired); });
  AddDeviceName(retire, "NAME", retired->name, "Name of the device")->required();
  AddText(retire, "--reason", kMaxDeviceText, retired->reason, "Why; kept with the device")
      ->required()
      ->check([](const std::string& text) { return text.empty() ? std::string("say why") : std::string(); });

  auto removed = std::make_shared<std::string>();
  CLI::App& remove = AddCommand(line, device, "remove",
                                "Forget a device that has no good certificate; what it was issued stays on record",
                                "  trustctl device remove SEP001122334455",
                                [removed](Environment& environment) { return Remove(environment, *removed); });
  AddDeviceName(remove, "NAME", *removed, "Name of the device")->required();
}

struct ImportArguments {
  std::string path;
  bool skip_bad = false;
};

void AddImportCommand(CommandLine& line, CLI::App& device) {
  auto arguments = std::make_shared<ImportArguments>();
  CLI::App& command = AddCommand(
      line, device, "import",
      "Add or change the devices of a call manager's phone export in CSV. Its first line names the columns: Device "
      "Name or Name; Device Type, Model, Product or Phone Type; Protocol or Device Protocol; Load, Device Load, Active "
      "Load, Load Information or Phone Load Name; Location, Site or Device Pool; Owner or Owner User ID; Description. "
      "Others are passed over. After an interruption the same command completes the import",
      "  trustctl device import phones.csv\n"
      "  trustctl device import phones.csv --skip-bad --output json",
      [arguments](Environment& environment) {
        return ImportDevices(environment, arguments->path, arguments->skip_bad);
      });
  AddFile(command, "FILE", arguments->path, "CSV in UTF-8, separated by commas, semicolons or tabs; up to 64 MB")
      ->required();
  command.add_flag("--skip-bad", arguments->skip_bad,
                   "Import the good lines when there are bad ones; otherwise nothing is");
}

}  // namespace

void AddDeviceCommands(CommandLine& line) {
  CLI::App& device = AddGroup(line.app, "device", "Devices: the phones and gateways that get certificates",
                              "  trustctl device import phones.csv\n"
                              "  trustctl device list --site Berlin");
  AddDataCommands(line, device);
  AddImportCommand(line, device);
  AddListCommand(line, device);
  AddLifeCommands(line, device);
}

}  // namespace trustline
