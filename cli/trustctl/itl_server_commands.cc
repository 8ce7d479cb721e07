// trustctl itl server ...: the TFTP servers, each with a CallManager key and an ITL of its own.
#include <fmt/format.h>

#include <memory>

#include "cli/trustctl/caution_arguments.h"
#include "cli/trustctl/device_arguments.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/escaping.h"
#include "cli/trustctl/preflight_print.h"
#include "cli/trustctl/publication_arguments.h"
#include "cli/trustctl/trust_list_arguments.h"
#include "cli/trustctl/trust_list_commands.h"
#include "cli/trustctl/trust_list_records.h"
#include "cli/trustctl/trust_list_words.h"
#include "cli/trustctl/trust_records.h"
#include "proto/trust_list.grpc.pb.h"

namespace trustline {
namespace {

struct AddArguments {
  std::string name;
  std::string host;
  v1::CertificateRole role = v1::CERTIFICATE_ROLE_UNSPECIFIED;
  std::optional<int64_t> recovery_years;
  std::optional<std::string> organization;
  std::optional<std::string> organizational_unit;
};

absl::StatusOr<int> Add(Environment& environment, const AddArguments& arguments) {
  v1::AddTftpServerRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_name(arguments.name);
  request.set_host(arguments.host);
  request.set_tftp_role(arguments.role);
  request.set_recovery_years(static_cast<int32_t>(arguments.recovery_years.value_or(0)));
  request.set_organization(arguments.organization.value_or(""));
  request.set_organizational_unit(arguments.organizational_unit.value_or(""));
  ASSIGN_OR_RETURN(Client<v1::TrustLists> client, environment.Connect<v1::TrustLists>(kItld));
  ASSIGN_OR_RETURN(const v1::AddTftpServerResponse response,
                   (environment.Ask(client, &v1::TrustLists::Stub::AddTftpServer, request)));
  if (environment.options().output == OutputFormat::kTable) {
    environment.out() << fmt::format("{} {}\n", EscapeForTerminal(arguments.name),
                                     response.added() ? "is added" : "was there already, nothing was added");
  }
  WriteOutcomes(environment, response.published(),
                Record().Add("added", "ADDED", response.added()).Add("server", "TFTP SERVER", arguments.name));
  return OutcomeExit(response.published(), /*may_wait=*/true);
}

absl::StatusOr<int> List(Environment& environment) {
  v1::ListTrustListsRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_kind(v1::TRUST_LIST_KIND_ITL);
  ASSIGN_OR_RETURN(Client<v1::TrustLists> client, environment.Connect<v1::TrustLists>(kItld));
  ASSIGN_OR_RETURN(const v1::ListTrustListsResponse response,
                   (environment.Ask(client, &v1::TrustLists::Stub::ListTrustLists, request)));
  ListWriter writer(environment.out(), environment.options().output,
                    {{"server", "TFTP SERVER"},
                     {"host", "HOST"},
                     {"sha256", "CERTIFICATE"},
                     {"not_after", "EXPIRES"},
                     {"added_by", "ADDED BY"},
                     {"added_at", "ADDED"}},
                    "no TFTP servers");
  for (const v1::TftpServer& server : response.tftp_servers()) {
    Cell sha256;
    Cell not_after;
    for (const v1::ListSigner& signer : response.signers()) {
      if (signer.tftp_server() != server.name()) continue;
      sha256 = Fingerprint{signer.certificate().sha256()};
      not_after = TimestampCell(signer.certificate().not_after());
    }
    writer.Add({server.name(), server.host(), sha256, not_after, server.added_by(), TimestampCell(server.added_at())});
  }
  writer.Finish();
  WriteNotices(environment, response.notices());
  return kExitSuccess;
}

struct RemoveArguments {
  std::string name;
  PublicationArguments publication;
  CautionArguments caution;
};

absl::StatusOr<int> Remove(Environment& environment, const RemoveArguments& arguments) {
  v1::RemoveTftpServerRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_name(arguments.name);
  request.set_reason(arguments.publication.reason.value_or(""));
  RETURN_IF_ERROR(FillCaution(environment, arguments.caution, request));
  ASSIGN_OR_RETURN(Client<v1::TrustLists> client, environment.Connect<v1::TrustLists>(kItld));
  ASSIGN_OR_RETURN(const v1::RemoveTftpServerResponse response,
                   (environment.Ask(client, &v1::TrustLists::Stub::RemoveTftpServer, request)));
  if (arguments.caution.plan) return WritePlanned(environment, response);
  WriteChangeResult(
      environment,
      fmt::format("removed {}: its lists are not made any more; what was published stays on record", arguments.name),
      Record().Add("removed", "REMOVED", true).Add("server", "TFTP SERVER", arguments.name), response);
  return kExitSuccess;
}

}  // namespace

void AddTftpServerCommands(CommandLine& line, CLI::App& itl) {
  CLI::App& server = AddGroup(itl, "server", "The TFTP servers, each with an ITL of its own",
                              "  trustctl itl server add tftp1 --host tftp1.example.com\n"
                              "  trustctl itl server name add tftp1 192.0.2.5\n"
                              "  trustctl itl server list");
  auto added = std::make_shared<AddArguments>();
  CLI::App& add = AddCommand(
      line, server, "add",
      "Make a TFTP server's key, certificate and ITL, and with the cluster's first one the ITLRecovery key",
      "  trustctl itl server add tftp1 --host tftp1.example.com --organization Example --organizational-unit Voice\n"
      "  trustctl itl server add tftp2 --host tftp2.example.com",
      [added](Environment& environment) { return Add(environment, *added); });
  add.add_option("NAME", added->name, "Name of the server")->required()->type_name("NAME");
  add.add_option("--host", added->host, "Its DNS name, for the certificate; the name unless given")->type_name("DNS");
  AddWord(add, "--role", kTftpRoleType, kTftpRoles, added->role,
          "CCM+TFTP or TFTP, for the cluster's first one; CCM+TFTP unless given");
  AddRecoveryYears(add, added->recovery_years);
  AddText(add, "--organization", kMaxDeviceText, added->organization,
          "Of the certificates' names, for the cluster's first one");
  AddText(add, "--organizational-unit", kMaxDeviceText, added->organizational_unit,
          "Of the certificates' names, for the cluster's first one");

  AddCommand(line, server, "list", "List the TFTP servers", "  trustctl itl server list --output json", List);

  auto removed = std::make_shared<RemoveArguments>();
  CLI::App& remove = AddCommand(line, server, "remove", "Make no lists for a TFTP server any more",
                                "  trustctl itl server remove tftp2 --reason 'site closed' --plan\n"
                                "  trustctl itl server remove tftp2 --reason 'site closed'",
                                [removed](Environment& environment) { return Remove(environment, *removed); });
  remove.add_option("NAME", removed->name, "Name of the server")->required()->type_name("NAME");
  AddReason(remove, removed->publication, /*required=*/true);
  AddCaution(remove, removed->caution);

  AddTftpServerNameCommands(line, server);
}

}  // namespace trustline
