// trustctl node ...: the machines of the system.
#include <fmt/format.h>

#include <memory>

#include "cli/trustctl/command.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/escaping.h"
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

absl::StatusOr<int> List(Environment& environment) {
  ASSIGN_OR_RETURN(Client<v1::Node> client, environment.Connect<v1::Node>(kItld));
  ASSIGN_OR_RETURN(const v1::ListNodesResponse response,
                   (environment.Ask(client, &v1::Node::Stub::ListNodes, v1::ListNodesRequest())));
  ListWriter writer(environment.out(), environment.options().output,
                    {{"name", "NAME"},
                     {"identity", "IDENTITY"},
                     {"tvs_certificate_sha256", "TVS CERTIFICATE"},
                     {"joined_at", "JOINED"},
                     {"identity_expires_at", "IDENTITY EXPIRES"},
                     {"removed_at", "REMOVED"}},
                    "no nodes");
  for (const v1::NodeInfo& node : response.nodes()) {
    writer.Add({node.name(), node.identity(),
                node.tvs_certificate_sha256().empty() ? Cell() : Cell(Fingerprint{node.tvs_certificate_sha256()}),
                TimestampCell(node.joined_at()), TimestampCell(node.identity_expires_at()),
                TimestampCell(node.removed_at())});
  }
  writer.Finish();
  return kExitSuccess;
}

absl::StatusOr<int> Remove(Environment& environment, const std::string& node) {
  v1::RemoveNodeRequest request;
  request.set_node(node);
  ASSIGN_OR_RETURN(Client<v1::Node> client, environment.Connect<v1::Node>(kItld));
  RETURN_IF_ERROR((environment.Ask(client, &v1::Node::Stub::RemoveNode, request)).status());
  WriteResult(
      environment.out(), environment.options().output,
      fmt::format("removed node {}: its identity is not renewed and its TVS certificate is not trusted any more", node),
      Record().Add("removed", "REMOVED", true).Add("node", "NODE", node));
  return kExitSuccess;
}

}  // namespace

void AddNodeCommands(CommandLine& line) {
  CLI::App& node = AddGroup(line.app, "node", "The machines of the system",
                            "  trustctl node token branch1\n"
                            "  trustctl node list");
  auto arguments = std::make_shared<TokenArguments>();
  CLI::App& token = AddCommand(line, node, "token", "Make a single-use token with which another machine joins",
                               "  trustctl node token branch1 --for 2h\n"
                               "  TOKEN=$(trustctl node token branch1 | tail -n 1)",
                               [arguments](Environment& environment) { return MakeToken(environment, *arguments); });
  token.add_option("NAME", arguments->node, "Name of the machine")->required()->type_name("NAME");
  AddDurationUpTo(kLongestTokenLifetime, token, "--for", arguments->lifetime,
                  "How long the token may be used, at most 7d; 1h unless given");

  AddCommand(line, node, "list", "List the machines", "  trustctl node list --output json", List);

  auto name = std::make_shared<std::string>();
  CLI::App& remove =
      AddCommand(line, node, "remove", "Remove a machine from the system", "  trustctl node remove branch1",
                 [name](Environment& environment) { return Remove(environment, *name); });
  remove.add_option("NAME", *name, "Name of the machine")->required()->type_name("NAME");
}

}  // namespace trustline
