// trustctl forwarder ...: whose word about phones is evidence, and what becomes of everybody else's.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>

#include "cli/trustctl/command.h"
#include "cli/trustctl/device_arguments.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/phone_words.h"
#include "cli/trustctl/trust_records.h"
#include "common/status/status.h"
#include "proto/phone_trust.grpc.pb.h"

namespace trustline {
namespace {

constexpr size_t kMaxForwarderName = 200;  // as itld counts it

std::vector<Column> ForwarderColumns() {
  return {{"forwarder", "FORWARDER"}, {"kind", "KIND"},     {"requests", "REQUESTS"}, {"udp", "UDP"},
          {"added_by", "ADDED BY"},   {"added_at", "ADDED"}};
}

std::string KindOf(const v1::Forwarder& forwarder) {
  if (!forwarder.is_network()) return "common name";
  return forwarder.name().find('/') == std::string::npos ? "address" : "network";
}

Row ForwarderRow(const v1::Forwarder& forwarder) {
  return {forwarder.name(),
          KindOf(forwarder),
          std::vector<std::string>(forwarder.requests().begin(), forwarder.requests().end()),
          forwarder.udp(),
          forwarder.added_by(),
          TimestampCell(forwarder.added_at())};
}

struct AddArguments {
  std::optional<std::string> name;
  std::vector<std::string> requests;
  bool udp = false;
};

absl::StatusOr<int> Add(Environment& environment, const AddArguments& arguments) {
  v1::PutForwarderRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_name(*arguments.name);
  for (const std::string& method : arguments.requests) request.add_requests(method);
  request.set_udp(arguments.udp);
  ASSIGN_OR_RETURN(Client<v1::PhoneTrust> client, environment.Connect<v1::PhoneTrust>(kItld));
  ASSIGN_OR_RETURN(const v1::PutForwarderResponse response,
                   (environment.Ask(client, &v1::PhoneTrust::Stub::PutForwarder, request)));
  const v1::Forwarder& forwarder = response.forwarder();
  Record record;
  const std::vector<Column> columns = ForwarderColumns();
  Row row = ForwarderRow(forwarder);
  for (size_t i = 0; i < columns.size(); ++i) record.Add(columns[i].key, columns[i].title, std::move(row[i]));
  WriteResult(environment.out(), environment.options().output,
              fmt::format("{} {}: what it says of phones is evidence, in {}{}", forwarder.name(),
                          response.added() ? "is added" : "was there already and has this form now",
                          fmt::join(forwarder.requests(), ", "), forwarder.udp() ? ", over UDP too" : ""),
              record.Add("added", "Added now", response.added()));
  return kExitSuccess;
}

absl::StatusOr<int> List(Environment& environment) {
  v1::ListForwardersRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  ASSIGN_OR_RETURN(Client<v1::PhoneTrust> client, environment.Connect<v1::PhoneTrust>(kItld));
  ASSIGN_OR_RETURN(const v1::ListForwardersResponse response,
                   (environment.Ask(client, &v1::PhoneTrust::Stub::ListForwarders, request)));
  const OutputFormat format = environment.options().output;
  Record::List forwarders = {"forwarders", ForwarderColumns(), {}};
  for (const v1::Forwarder& forwarder : response.forwarders()) forwarders.rows.push_back(ForwarderRow(forwarder));
  if (format == OutputFormat::kTable) {
    ListWriter writer(environment.out(), format, forwarders.columns, "no forwarders");
    for (Row& row : forwarders.rows) writer.Add(std::move(row));
    writer.Finish();
    environment.out() << "\nFrom everybody else: "
                      << (response.accept_claims() ? "alarms are kept as claims" : "alarms are refused") << "\n";
    return kExitSuccess;
  }
  Record record;
  record.Add("accept_claims", "", response.accept_claims());
  record.list = std::move(forwarders);
  WriteRecord(environment.out(), format, record);
  return kExitSuccess;
}

absl::StatusOr<int> Remove(Environment& environment, const std::string& name) {
  v1::RemoveForwarderRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_name(name);
  ASSIGN_OR_RETURN(Client<v1::PhoneTrust> client, environment.Connect<v1::PhoneTrust>(kItld));
  RETURN_IF_ERROR((environment.Ask(client, &v1::PhoneTrust::Stub::RemoveForwarder, request)).status());
  WriteResult(environment.out(), environment.options().output,
              fmt::format("removed {}: what it says from now on is no evidence; what it has said stays", name),
              Record().Add("removed", "REMOVED", true).Add("forwarder", "FORWARDER", name));
  return kExitSuccess;
}

absl::StatusOr<int> SetClaims(Environment& environment, bool accept) {
  v1::SetClaimPolicyRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_accept(accept);
  ASSIGN_OR_RETURN(Client<v1::PhoneTrust> client, environment.Connect<v1::PhoneTrust>(kItld));
  ASSIGN_OR_RETURN(const v1::SetClaimPolicyResponse response,
                   (environment.Ask(client, &v1::PhoneTrust::Stub::SetClaimPolicy, request)));
  WriteResult(environment.out(), environment.options().output,
              fmt::format("alarms of others than forwarders are {}{}", accept ? "kept as claims" : "refused",
                          response.changed() ? "" : ", as they were"),
              Record().Add("accept_claims", "ACCEPT CLAIMS", accept).Add("changed", "CHANGED", response.changed()));
  return kExitSuccess;
}

void AddAddCommand(CommandLine& line, CLI::App& forwarder) {
  auto arguments = std::make_shared<AddArguments>();
  CLI::App& command =
      AddCommand(line, forwarder, "add",
                 "Take the word of a call manager or proxy about phones as evidence; one that is there gets this form",
                 "  trustctl forwarder add 192.0.2.10\n"
                 "  trustctl forwarder add 2001:db8::/64 --requests REFER\n"
                 "  trustctl forwarder add kamailio.example.com --requests REFER,REGISTER",
                 [arguments](Environment& environment) { return Add(environment, *arguments); });
  AddText(command, "NAME", kMaxForwarderName, arguments->name,
          "An address, a network, or the common name (CN) of the certificate that it presents over TLS")
      ->required();
  AddForwardedRequests(
      command, arguments->requests,
      fmt::format("SIP requests that it may send: {}; all unless given", fmt::join(kForwardedRequests, ", ")));
  command.add_flag(
      "--udp", arguments->udp,
      "What comes over UDP from that address is evidence too. A risk: the sender's address of a UDP packet can be "
      "forged, so that anybody who can send packets here speaks in its name; only for a network where that cannot be");
}

void AddClaimCommands(CommandLine& line, CLI::App& forwarder) {
  CLI::App& claims = AddGroup(forwarder, "claims", "What becomes of the alarms of everybody who is no forwarder",
                              "  trustctl forwarder claims refuse\n"
                              "  trustctl forwarder claims accept");
  AddCommand(line, claims, "accept",
             "Keep them as claims, as at first: shown in the report, but no evidence, and bounded in number",
             "  trustctl forwarder claims accept",
             [](Environment& environment) { return SetClaims(environment, true); });
  AddCommand(line, claims, "refuse", "Refuse them (403)", "  trustctl forwarder claims refuse",
             [](Environment& environment) { return SetClaims(environment, false); });
}

}  // namespace

void AddForwarderCommands(CommandLine& line) {
  CLI::App& forwarder = AddGroup(line.app, "forwarder", "Whose word about phones is evidence",
                                 "  trustctl forwarder add 192.0.2.10 --requests REFER,REGISTER\n"
                                 "  trustctl forwarder list");
  AddAddCommand(line, forwarder);
  AddCommand(line, forwarder, "list", "List the forwarders, and what becomes of everybody else's alarms",
             "  trustctl forwarder list --output json", List);
  auto name = std::make_shared<std::optional<std::string>>();
  CLI::App& remove = AddCommand(line, forwarder, "remove", "Take somebody's word as evidence no more",
                                "  trustctl forwarder remove 192.0.2.10",
                                [name](Environment& environment) { return Remove(environment, **name); });
  AddText(remove, "NAME", kMaxForwarderName, *name, "As `trustctl forwarder list` shows it")->required();
  AddClaimCommands(line, forwarder);
}

}  // namespace trustline
