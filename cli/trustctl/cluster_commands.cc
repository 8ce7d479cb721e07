// trustctl cluster ...: customers, sites or call-manager clusters, each with a trust store of its own.
#include <fmt/format.h>

#include <memory>

#include "cli/trustctl/command.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/move_commands.h"
#include "cli/trustctl/trust_records.h"
#include "common/status/status.h"
#include "proto/access.grpc.pb.h"

namespace trustline {
namespace {

struct AddArguments {
  std::string name;
  std::string time_zone;
};

absl::StatusOr<int> Add(Environment& environment, const AddArguments& arguments) {
  v1::CreateClusterRequest request;
  request.set_name(arguments.name);
  request.set_time_zone(arguments.time_zone);
  ASSIGN_OR_RETURN(Client<v1::Access> client, environment.Connect<v1::Access>(kItld));
  ASSIGN_OR_RETURN(const v1::CreateClusterResponse response,
                   (environment.Ask(client, &v1::Access::Stub::CreateCluster, request)));
  const v1::Cluster& cluster = response.cluster();
  WriteResult(environment.out(), environment.options().output, fmt::format("added cluster {}", cluster.name()),
              Record()
                  .Add("name", "NAME", cluster.name())
                  .Add("time_zone", "TIME ZONE", cluster.time_zone())
                  .Add("created_at", "CREATED", TimestampCell(cluster.created_at())));
  return kExitSuccess;
}

absl::StatusOr<int> List(Environment& environment) {
  ASSIGN_OR_RETURN(Client<v1::Access> client, environment.Connect<v1::Access>(kItld));
  ASSIGN_OR_RETURN(const v1::ListClustersResponse response,
                   (environment.Ask(client, &v1::Access::Stub::ListClusters, v1::ListClustersRequest())));
  ListWriter writer(
      environment.out(), environment.options().output,
      {{"name", "NAME"}, {"time_zone", "TIME ZONE"}, {"trust_commit", "COMMIT"}, {"created_at", "CREATED"}},
      "no clusters");
  for (const v1::Cluster& cluster : response.clusters()) {
    writer.Add({cluster.name(), cluster.time_zone(), cluster.trust_commit(), TimestampCell(cluster.created_at())});
  }
  writer.Finish();
  return kExitSuccess;
}

}  // namespace

void AddClusterCommands(CommandLine& line) {
  CLI::App& cluster = AddGroup(line.app, "cluster", "Clusters: each has a trust store, roles and listeners of its own",
                               "  trustctl cluster add berlin --time-zone Europe/Berlin\n"
                               "  trustctl cluster list");
  auto arguments = std::make_shared<AddArguments>();
  CLI::App& add =
      AddCommand(line, cluster, "add", "Add a cluster", "  trustctl cluster add berlin --time-zone Europe/Berlin",
                 [arguments](Environment& environment) { return Add(environment, *arguments); });
  add.add_option("NAME", arguments->name, "Lower-case letters, digits and '-'")->required()->type_name("NAME");
  add.add_option("--time-zone", arguments->time_zone, "IANA name of its time zone; UTC unless given")
      ->type_name("ZONE");
  AddCommand(line, cluster, "list", "List the clusters on which you have a role", "  trustctl cluster list", List);
  AddMoveCommands(line, cluster);
}

}  // namespace trustline
