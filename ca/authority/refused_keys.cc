#include "ca/authority/refused_keys.h"

#include <string>

#include "common/postgres/connection.h"
#include "common/postgres/transaction.h"
#include "common/rpc/identity.h"
#include "common/service/audit.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(3);
constexpr std::string_view kAction = "ca.open_keys";

constexpr Statement kCluster = {"refused_keys_cluster", "SELECT cluster_id FROM cluster WHERE name = $1"};
constexpr Statement kIsRecorded = {
    "refused_keys_recorded",
    "SELECT EXISTS (SELECT FROM audit_event WHERE cluster_id = $1::integer AND at > now() - interval '1 hour' "
    "AND actor = $2 AND action = $3 AND detail = $4)"};

absl::Status Record(const DaemonConfig& config, AuditEvent event) {
  ASSIGN_OR_RETURN(Connection connection, Connection::Open({.conninfo = config.database_connection,
                                                            .application_name = "cad audit",
                                                            .connect_timeout = kPatience,
                                                            .query_timeout = kPatience}));
  return RunInTransaction(connection, {}, [&](Connection& transaction) -> absl::Status {
    ASSIGN_OR_RETURN(const Result cluster, transaction.Execute(kCluster, Parameters().Text(kSystemCluster)));
    ASSIGN_OR_RETURN(event.cluster_id, cluster.Value<int32_t>());
    ASSIGN_OR_RETURN(
        const Result known,
        transaction.Execute(
            kIsRecorded,
            Parameters().Int64(event.cluster_id).Text(event.actor).Text(event.action).Text(AuditDetailJson(event))));
    ASSIGN_OR_RETURN(const bool is_recorded, known.Value<bool>());
    return is_recorded ? absl::OkStatus() : AppendAudit(transaction, event);
  });
}

}  // namespace

void RecordRefusedKeys(const DaemonContext& context, std::string_view actor, const absl::Status& refusal) {
  AuditEvent event = {.actor = std::string(actor),
                      .action = std::string(kAction),
                      .subject = context.config.node,
                      .outcome = AuditOutcome::kDenied,
                      .detail = {{"reason", std::string(StatusMessage(refusal))}}};
  const absl::Status recorded = Record(context.config, std::move(event));
  if (recorded.ok()) return;
  context.log.Error("CA_REFUSAL_NOT_RECORDED", "that the authorities' keys were refused is not in the audit log",
                    {{"actor", actor}, {"reason", refusal}, {"error", recorded}});
}

}  // namespace trustline
