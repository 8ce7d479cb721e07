// phonefleet live: starts of phones that keep their trust lists.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <iostream>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cli/phone/command.h"
#include "cli/phone/list_server.h"
#include "cli/phone/virtual_phone.h"
#include "cli/trustctl/context.h"
#include "common/bytes/checksums.h"
#include "common/device/device_name.h"
#include "common/net/ip_address.h"
#include "common/rpc/channel.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr uint16_t kSipPort = 5060;
constexpr size_t kMacDigits = 12;
constexpr uint64_t kLastMac = 0xffff'ffff'ffff;
constexpr size_t kMostPhones = 1'000'000;

struct LiveArguments {
  ConnectionArguments connection;  // but for its server
  std::string device;
  std::string first;
  size_t count = 1;
  size_t at_once = 8;
  std::string model = "8841";
  std::string state;
  std::string context;
  std::string itl_service;
  std::string cluster;
  std::string tftp_server;
  std::vector<std::string> tvs;
  std::string report;
  bool no_report = false;
  std::string file_signer;
  PhoneReads reads;
};

// SEP001122334455, SEP001122334456 and so on.
absl::StatusOr<std::vector<DeviceName>> Devices(const LiveArguments& arguments) {
  ASSIGN_OR_RETURN(const DeviceName first,
                   DeviceName::Parse(arguments.first.empty() ? arguments.device : arguments.first));
  std::vector<DeviceName> devices = {first};
  if (arguments.count == 1) return devices;
  const std::string prefix = first.text().substr(0, first.text().size() - std::min(kMacDigits, first.text().size()));
  const std::string digits = first.text().substr(prefix.size());
  uint64_t mac = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), mac, 16);
  if (prefix.size() != 3 || prefix == "CSF" || error != std::errc() || end != digits.data() + digits.size()) {
    return InvalidArgument("{} has no MAC address to count from: --first SEP001122334455", first.text());
  }
  if (kLastMac - mac < arguments.count - 1) {
    return InvalidArgument("there are not {} addresses from {} on", arguments.count, first.text());
  }
  for (size_t i = 1; i < arguments.count; ++i) {
    ASSIGN_OR_RETURN(DeviceName next, DeviceName::Parse(fmt::format("{}{:012X}", prefix, mac + i)));
    devices.push_back(std::move(next));
  }
  return devices;
}

absl::StatusOr<std::unique_ptr<ItldListServer>> Lists(const LiveArguments& arguments) {
  if (arguments.context.empty()) {
    return FailedPrecondition(
        "no context: give --context FILE or set TRUSTLINE_CONTEXT; `trustline up --data DIR` writes one to "
        "DIR/admin/context.toml");
  }
  ASSIGN_OR_RETURN(const Context context, LoadContext(arguments.context));
  std::string address = arguments.itl_service;
  if (address.empty()) {
    ASSIGN_OR_RETURN(address, ServiceAddress(context, "itld"));
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel, OpenChannel(address, context.identity, "itld"));
  return std::make_unique<ItldListServer>(
      channel, ItldListServerOptions{.address = address,
                                     .cluster = arguments.cluster.empty() ? context.cluster : arguments.cluster,
                                     .tftp_server = arguments.tftp_server});
}

// All but the device and its folder.
absl::StatusOr<VirtualPhoneOptions> PhoneOptions(const LiveArguments& arguments, const DeviceName& first) {
  VirtualPhoneOptions options{.device = first, .model = arguments.model, .folder = "", .reads = arguments.reads};
  options.tvs = {.one_byte_at_a_time = arguments.connection.one_byte_at_a_time, .tls = arguments.connection.tls};
  options.report_timeout = arguments.connection.tls.timeout;
  for (const std::string& text : arguments.tvs) {
    ASSIGN_OR_RETURN(Endpoint server, ParseEndpoint(text, kTvsPort));
    options.tvs_servers.push_back(std::move(server));
  }
  if (!arguments.report.empty()) {
    ASSIGN_OR_RETURN(options.report_to, ParseEndpoint(arguments.report, kSipPort));
  }
  if (!arguments.file_signer.empty()) {
    ASSIGN_OR_RETURN(options.file_signer, ReadOneCertificate(arguments.file_signer));
  }
  return options;
}

std::string DecisionLines(const std::string& device, std::string_view what, const ServedDecision& decided) {
  std::string line = fmt::format("{}  {}  ", device, what);
  switch (decided.served) {
    case ServedDecision::Served::kNothing:
      return line + "not found at the server\n";
    case ServedDecision::Served::kWhatItHolds:
      return line + fmt::format("unchanged  {}\n", decided.sha1);
    case ServedDecision::Served::kAnother:
      break;
  }
  line += decided.decision.accepted() ? "accepted" : "refused";
  if (!decided.sha1.empty()) line += "  " + decided.sha1;
  line += fmt::format("  signed by {}: {}\n", decided.signer.empty() ? "nobody that the phone knows" : decided.signer,
                      decided.words);
  for (const TvsAttempt& attempt : decided.asked) {
    const std::string server = EndpointText(attempt.server.host, attempt.server.port);
    line += attempt.answered ? fmt::format("{}  asked TVS {}: {}\n", device, server, attempt.outcome)
                             : fmt::format("{}  no answer of TVS {}: {}\n", device, server, attempt.outcome);
  }
  return line;
}

std::string ResultLines(const std::string& device, const PhoneStartResult& result) {
  const auto hash = [](const std::optional<HeldList>& list) {
    return list ? ToHex(Sha1(list->file())) : std::string("none");
  };
  std::string lines = DecisionLines(device, "CTL", result.ctl) + DecisionLines(device, "ITL", result.itl);
  if (result.file.served != ServedDecision::Served::kNothing) {
    lines += DecisionLines(device, "configuration", result.file);
  }
  return lines + fmt::format("{}  {}  holds CTL {}  ITL {}\n", device, result.in_step() ? "in step" : "out of step",
                             hash(result.held.ctl), hash(result.held.itl));
}

// Prints what becomes of phones, each in one piece.
class Journal {
 public:
  void Add(const std::string& device, const absl::StatusOr<PhoneStartResult>& result) {
    const std::lock_guard lock(mutex_);
    if (result.ok()) {
      std::cout << ResultLines(device, *result) << std::flush;
      if (!result->in_step()) exit_status_ = std::max(exit_status_, kExitBad);
    }
    const absl::Status failed = result.ok() ? result->reported : result.status();
    if (failed.ok()) return;
    std::cerr << fmt::format("phonefleet: {}: {}", device, StatusMessage(failed)) << std::endl;
    exit_status_ = kExitNoAnswer;
  }
  int exit_status() const { return exit_status_; }

 private:
  std::mutex mutex_;
  int exit_status_ = kExitGood;
};

absl::StatusOr<int> Live(const LiveArguments& arguments) {
  ASSIGN_OR_RETURN(const std::vector<DeviceName> devices, Devices(arguments));
  ASSIGN_OR_RETURN(const VirtualPhoneOptions options, PhoneOptions(arguments, devices.front()));
  ASSIGN_OR_RETURN(const std::unique_ptr<ItldListServer> lists, Lists(arguments));
  Journal journal;
  std::atomic<size_t> next = 0;
  const auto start_phones = [&] {
    for (size_t index = next++; index < devices.size(); index = next++) {
      VirtualPhoneOptions own = options;
      own.device = devices[index];
      own.folder = fmt::format("{}/{}", arguments.state, own.device.text());
      journal.Add(own.device.text(), VirtualPhone(own, *lists).Start());
    }
  };
  std::vector<std::jthread> threads;
  for (size_t i = 1; i < std::min(arguments.at_once, devices.size()); ++i) threads.emplace_back(start_phones);
  start_phones();
  threads.clear();  // joins
  return journal.exit_status();
}

void AddPhones(CLI::App& command, LiveArguments& arguments) {
  CLI::Option* device = command.add_option("--device", arguments.device, "The phone's device name");
  device->type_name("SEP001122334455");
  CLI::Option* first = command.add_option("--first", arguments.first, "The first of several phones");
  first->type_name("SEP001122334455")->excludes(device);
  command.add_option("--count", arguments.count, "How many, with the MAC addresses that follow")
      ->type_name("NUMBER")
      ->needs(first)
      ->check(CLI::Range(size_t{1}, kMostPhones));
  command.add_option("--at-once", arguments.at_once, "How many of them start at once")
      ->type_name("NUMBER")
      ->capture_default_str()
      ->check(CLI::Range(1, 256));
  command.add_option("--model", arguments.model, "The phones' model")->type_name("MODEL")->capture_default_str();
  command
      .add_option("--state", arguments.state,
                  "Folder in which each phone keeps its lists, under its name; made when it is missing. Without its "
                  "folder a phone is as fresh from the box")
      ->required()
      ->type_name("DIR");
  command.add_flag("--sha512", arguments.reads.sha512, "The phones read lists with SHA-512");
  command.add_flag("--signer-version-1.1", arguments.reads.version_1_1, "The phones read signer version 1.1");
}

void AddServers(CLI::App& command, LiveArguments& arguments) {
  command
      .add_option("--context", arguments.context,
                  "Context file of an identity that may look at lists (DIR/admin/context.toml of `trustline up --data "
                  "DIR`): they come from itld over gRPC")
      ->envname("TRUSTLINE_CONTEXT")
      ->type_name("FILE");
  command.add_option("--itl-service", arguments.itl_service, "itld; the context's unless given")
      ->type_name("HOST:PORT");
  command.add_option("--cluster", arguments.cluster, "Cluster whose lists the phones get; the context's unless given")
      ->type_name("NAME");
  command
      .add_option("--tftp-server", arguments.tftp_server,
                  "TFTP server whose lists the phones get, by its name in that cluster; may be left out when it has "
                  "only one")
      ->type_name("NAME");
  command
      .add_option("--tvs", arguments.tvs,
                  fmt::format("A TVS of the configuration that the phones run on; several are asked in their order. "
                              "Port {} unless given",
                              kTvsPort))
      ->type_name("HOST:PORT")
      ->allow_extra_args(false);
  CLI::Option* report = command.add_option(
      "--report", arguments.report,
      fmt::format("Where the phones report what they hold, by SIP over TCP; port {} unless given", kSipPort));
  report->type_name("HOST:PORT");
  command.add_flag("--no-report", arguments.no_report, "The phones tell nobody what they hold")->excludes(report);
  command
      .add_option("--file-signer", arguments.file_signer,
                  "Certificate that signs the configuration file: whether the phones would take it. Without it they "
                  "are served none")
      ->type_name("FILE");
}

}  // namespace

void AddLiveCommand(CLI::App& app, ChosenCommand& chosen) {
  const auto arguments = std::make_shared<LiveArguments>();
  CLI::App& command = *app.add_subcommand(
      "live",
      "Start phones, once each: a phone fetches the lists that are published for it, takes or refuses them by what it\n"
      "holds and by what its TVS says, keeps what it took for its next start, and reports what it holds then.\n"
      "Exit status: 0 all have what they were served, 1 a phone has refused something, 2 no answer or wrong usage.");
  command.footer(
      "Example:\n"
      "  phonefleet live --device SEP001122334455 --state phones --context var/admin/context.toml \\\n"
      "      --tvs 127.0.0.1:2445 --report 127.0.0.1:5060\n"
      "  phonefleet live --first SEP000000000001 --count 200 --state phones --context var/admin/context.toml \\\n"
      "      --tvs 127.0.0.1:2445 --report 127.0.0.1:5060");
  AddPhones(command, *arguments);
  AddServers(command, *arguments);
  AddConnectionOptions(command, arguments->connection);
  command.callback([arguments, &chosen] {
    if (arguments->device.empty() && arguments->first.empty()) throw CLI::RequiredError("--device or --first");
    if (arguments->report.empty() && !arguments->no_report) throw CLI::RequiredError("--report or --no-report");
    chosen = [arguments] { return Live(*arguments); };
  });
}

}  // namespace trustline
