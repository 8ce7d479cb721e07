// trustctl itl server name ...: how phones may call a TFTP server of ours in their reports.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>

#include "cli/trustctl/environment.h"
#include "cli/trustctl/trust_list_commands.h"
#include "cli/trustctl/trust_list_records.h"
#include "cli/trustctl/trust_records.h"
#include "common/bytes/bytes.h"
#include "common/status/status.h"
#include "proto/phone_trust.grpc.pb.h"

namespace trustline {
namespace {

struct ChangeArguments {
  std::string server;
  std::vector<std::string> names;
};

absl::StatusOr<int> List(Environment& environment) {
  v1::ListServerNamesRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  ASSIGN_OR_RETURN(Client<v1::PhoneTrust> client, environment.Connect<v1::PhoneTrust>(kItld));
  ASSIGN_OR_RETURN(const v1::ListServerNamesResponse response,
                   (environment.Ask(client, &v1::PhoneTrust::Stub::ListServerNames, request)));
  const OutputFormat format = environment.options().output;
  Record::List servers = {"servers",
                          {{"server", "TFTP SERVER"},
                           {"host", "HOST"},
                           {"names", "OTHER NAMES"},
                           {"itl_sha1", "SHA1 OF THE ITL"},
                           {"changed_at", "CHANGED"},
                           {"compared_at", "COMPARED"}},
                          {}};
  for (const v1::ListServerNamesResponse::Server& server : response.servers()) {
    servers.rows.push_back({server.tftp_server(), server.host(),
                            std::vector<std::string>(server.names().begin(), server.names().end()),
                            TextCell(ToHex(AsBytes(server.itl_sha1()))), TimestampCell(server.changed_at()),
                            TimestampCell(server.compared_at())});
  }
  if (format == OutputFormat::kTable) {
    ListWriter writer(environment.out(), format, servers.columns, "no TFTP servers");
    for (Row& row : servers.rows) writer.Add(std::move(row));
    writer.Finish();
    if (response.foreign().empty()) return kExitSuccess;
    environment.out() << "\n";
    ListWriter foreign(environment.out(), format, {{"foreign", "NAMED BY PHONES, BUT NOT OURS"}});
    for (const std::string& name : response.foreign()) foreign.Add({name});
    foreign.Finish();
    environment.err() << "notice: if one of these is a server of ours: trustctl itl server name add SERVER NAME"
                      << std::endl;
    return kExitSuccess;
  }
  Record record;
  record.Add("foreign", "", std::vector<std::string>(response.foreign().begin(), response.foreign().end()));
  record.list = std::move(servers);
  WriteRecord(environment.out(), format, record);
  return kExitSuccess;
}

absl::StatusOr<int> Change(Environment& environment, const ChangeArguments& arguments, bool add) {
  v1::ChangeServerNamesRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_tftp_server(arguments.server);
  for (const std::string& name : arguments.names) {
    if (add) {
      request.add_add(name);
    } else {
      request.add_remove(name);
    }
  }
  ASSIGN_OR_RETURN(Client<v1::PhoneTrust> client, environment.Connect<v1::PhoneTrust>(kItld));
  ASSIGN_OR_RETURN(const v1::ChangeServerNamesResponse response,
                   (environment.Ask(client, &v1::PhoneTrust::Stub::ChangeServerNames, request)));
  const std::vector<std::string> names(response.names().begin(), response.names().end());
  WriteResult(environment.out(), environment.options().output,
              fmt::format("{}: {}besides its name and its host it is called {}", arguments.server,
                          response.changed() ? "" : "nothing changed; ",
                          names.empty() ? std::string("nothing else") : fmt::format("{}", fmt::join(names, ", "))),
              Record()
                  .Add("server", "TFTP SERVER", arguments.server)
                  .Add("names", "OTHER NAMES", names)
                  .Add("changed", "CHANGED", response.changed()));
  return kExitSuccess;
}

void AddChangeCommand(CommandLine& line, CLI::App& group, bool add) {
  auto arguments = std::make_shared<ChangeArguments>();
  CLI::App& command =
      AddCommand(line, group, add ? "add" : "remove",
                 add ? "Count more names and addresses as a TFTP server's"
                     : "Count names and addresses as a TFTP server's no more",
                 add ? "  trustctl itl server name add tftp1 192.0.2.5 tftp.example.com"
                     : "  trustctl itl server name remove tftp1 192.0.2.5",
                 [arguments, add](Environment& environment) { return Change(environment, *arguments, add); });
  command.add_option("SERVER", arguments->server, "Name of the server")->required()->type_name("NAME");
  command.add_option("NAME", arguments->names, "Names or addresses as phones have them; case does not count")
      ->required()
      ->type_name("NAME");
}

}  // namespace

void AddTftpServerNameCommands(CommandLine& line, CLI::App& server) {
  CLI::App& name =
      AddGroup(server, "name",
               "Names and addresses by which phones may call a TFTP server, besides its name and its host; "
               "a phone that names another one is Foreign, unless it holds a list of ours",
               "  trustctl itl server name list\n"
               "  trustctl itl server name add tftp1 192.0.2.5");
  AddCommand(
      line, name, "list",
      "List the TFTP servers with their other names and the hash of each one's ITL, and what phones call servers "
      "that are none of these",
      "  trustctl itl server name list", List);
  AddChangeCommand(line, name, /*add=*/true);
  AddChangeCommand(line, name, /*add=*/false);
}

}  // namespace trustline
