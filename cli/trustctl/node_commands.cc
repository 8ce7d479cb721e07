// trustctl node ...: the machines of the system.
#include <fmt/format.h>

#include <memory>

#include "cli/trustctl/caution_arguments.h"
#include "cli/trustctl/command.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/escaping.h"
#include "cli/trustctl/preflight_print.h"
#include "cli/trustctl/trust_records.h"
#include "common/rpc/join_token.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "proto/node.grpc.pb.h"

namespace trustline {
namespace {

// As itld has it.
constexpr absl::Duration kLongestTokenLifetime = absl::Hours(24 * 7);

struct TokenArguments {
  std::string node;
  std::optional<absl::Duration> lifetime;
};

absl::StatusOr<int> MakeToken(Environment& environment, const TokenArguments& arguments) {
  v1::CreateTokenRequest request;
  request.set_node(arguments.node);
  if (arguments.lifetime) *request.mutable_lifetime() = DurationToProto(*arguments.lifetime);
  ASSIGN_OR_RETURN(Client<v1::Node> client, environment.Connect<v1::Node>(kItld));
  ASSIGN_OR_RETURN(const v1::CreateTokenResponse response,
                   (environment.Ask(client, &v1::Node::Stub::CreateToken, request)));
  ASSIGN_OR_RETURN(const JoinToken join_token, JoinToken::FromFields(response.authority_sha256(), response.secret()));
  const std::string token = join_token.ToText();
  const Cell expires_at = TimestampCell(response.expires_at());
  const std::string command = fmt::format(
      "trustline join --server {} --token {} --name {} --data /var/lib/trustline --database 'host=DATABASE-HOST "
      "dbname=trustline user=trustline_tvsd'",
      client.address, token, arguments.node);
  if (environment.options().output != OutputFormat::kTable) {
    WriteRecord(environment.out(), environment.options().output,
                Record()
                    .Add("node", "Node", arguments.node)
                    .Add("token", "Token", token)
                    .Add("expires_at", "Expires", expires_at)
                    .Add("command", "Command", command));
    return kExitSuccess;
  }
  const absl::Time* expires = std::get_if<absl::Time>(&expires_at);
  environment.out() << fmt::format(
      "Run this on {}{}; the token works once. {} must be an address of itld that {} reaches.\n\n  {}\n\n{}\n",
      EscapeForTerminal(arguments.node), expires == nullptr ? "" : " before " + TimeTextSeconds(*expires),
      client.address, EscapeForTerminal(arguments.node), command, token);
  return kExitSuccess;
}

// Below the table; programs read approved_at.
void WriteHints(std::ostream& out, const v1::ListNodesResponse& response) {
  for (const v1::NodeInfo& node : response.nodes()) {
    if (node.has_approved_at() || node.has_removed_at()) continue;
    out << fmt::format("{0} waits for approval, and is in no trust list before: trustctl node approve {0}\n",
                       EscapeForTerminal(node.name()));
  }
}

absl::StatusOr<int> List(Environment& environment) {
  ASSIGN_OR_RETURN(Client<v1::Node> client, environment.Connect<v1::Node>(kItld));
  ASSIGN_OR_RETURN(const v1::ListNodesResponse response,
                   (environment.Ask(client, &v1::Node::Stub::ListNodes, v1::ListNodesRequest())));
  ListWriter writer(environment.out(), environment.options().output,
                    {{"name", "NAME"},
                     {"identity", "IDENTITY"},
                     {"tvs_certificate_sha256", "TVS CERTIFICATE"},
                     {"grpc_address", "GRPC"},
                     {"joined_at", "JOINED"},
                     {"approved_at", "APPROVED"},
                     {"approved_by", "APPROVED BY", false},
                     {"identity_expires_at", "IDENTITY EXPIRES"},
                     {"removed_at", "REMOVED"}},
                    "no nodes");
  for (const v1::NodeInfo& node : response.nodes()) {
    writer.Add({node.name(), node.identity(),
                node.tvs_certificate_sha256().empty() ? Cell() : Cell(Fingerprint{node.tvs_certificate_sha256()}),
                node.grpc_address(), TimestampCell(node.joined_at()), TimestampCell(node.approved_at()),
                node.approved_by(), TimestampCell(node.identity_expires_at()), TimestampCell(node.removed_at())});
  }
  writer.Finish();
  if (environment.options().output == OutputFormat::kTable) WriteHints(environment.out(), response);
  return kExitSuccess;
}

absl::StatusOr<int> Approve(Environment& environment, const std::string& node) {
  v1::ApproveNodeRequest request;
  request.set_node(node);
  ASSIGN_OR_RETURN(Client<v1::Node> client, environment.Connect<v1::Node>(kItld));
  ASSIGN_OR_RETURN(const v1::ApproveNodeResponse response,
                   (environment.Ask(client, &v1::Node::Stub::ApproveNode, request)));
  std::string sentence = fmt::format("{} was approved already, nothing changed", node);
  if (response.commit() != 0) {
    sentence = fmt::format("approved {}: its TVS certificate is listed (commit {})", node, response.commit());
  } else if (response.changed()) {
    sentence = fmt::format("approved {}: its TVS certificate was listed already", node);
  }
  WriteResult(environment.out(), environment.options().output, sentence,
              Record()
                  .Add("changed", "CHANGED", response.changed())
                  .Add("node", "NODE", node)
                  .Add("commit", "COMMIT", response.commit()));
  return kExitSuccess;
}

struct RemoveArguments {
  std::string node;
  CautionArguments caution;
};

absl::StatusOr<int> Remove(Environment& environment, const RemoveArguments& arguments) {
  v1::RemoveNodeRequest request;
  request.set_node(arguments.node);
  RETURN_IF_ERROR(FillCaution(environment, arguments.caution, request));
  ASSIGN_OR_RETURN(Client<v1::Node> client, environment.Connect<v1::Node>(kItld));
  ASSIGN_OR_RETURN(const v1::RemoveNodeResponse response,
                   (environment.Ask(client, &v1::Node::Stub::RemoveNode, request)));
  if (arguments.caution.plan) return WritePlanned(environment, response);
  WriteChangeResult(
      environment,
      fmt::format("removed node {}: its identity is not renewed and its TVS certificate is not trusted any more",
                  arguments.node),
      Record().Add("removed", "REMOVED", true).Add("node", "NODE", arguments.node), response);
  return kExitSuccess;
}

}  // namespace

void AddNodeCommands(CommandLine& line) {
  CLI::App& node = AddGroup(line.app, "node", "The machines of the system",
                            "  trustctl node token branch1\n"
                            "  trustctl node list\n"
                            "  trustctl node approve branch1");
  auto arguments = std::make_shared<TokenArguments>();
  CLI::App& token = AddCommand(line, node, "token", "Make a single-use token with which another machine joins",
                               "  trustctl node token branch1 --for 2h\n"
                               "  TOKEN=$(trustctl node token branch1 | tail -n 1)",
                               [arguments](Environment& environment) { return MakeToken(environment, *arguments); });
  token.add_option("NAME", arguments->node, "Name of the machine")->required()->type_name("NAME");
  AddDurationUpTo(kLongestTokenLifetime, token, "--for", arguments->lifetime,
                  "How long the token may be used, at most 7d; 1h unless given");

  AddCommand(line, node, "list", "List the machines", "  trustctl node list --output json", List);

  auto approved = std::make_shared<std::string>();
  CLI::App& approve =
      AddCommand(line, node, "approve", "Let a machine that has joined stand in the phones' trust lists",
                 "  trustctl node approve branch1",
                 [approved](Environment& environment) { return Approve(environment, *approved); });
  approve.add_option("NAME", *approved, "Name of the machine")->required()->type_name("NAME");

  auto removed = std::make_shared<RemoveArguments>();
  CLI::App& remove = AddCommand(line, node, "remove", "Remove a machine from the system",
                                "  trustctl node remove branch1 --plan\n"
                                "  trustctl node remove branch1",
                                [removed](Environment& environment) { return Remove(environment, *removed); });
  remove.add_option("NAME", removed->node, "Name of the machine")->required()->type_name("NAME");
  AddCaution(remove, removed->caution);
}

}  // namespace trustline
