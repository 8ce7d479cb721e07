#include "itl/access/access_editor.h"

#include <algorithm>
#include <cctype>

#include "common/rpc/identity.h"
#include "common/service/audit.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr size_t kMaxClusterNameSize = 63;
constexpr size_t kMaxTimeZoneNameSize = 64;

absl::Status CheckPerson(std::string_view person) {
  const absl::StatusOr<Identity> identity = Identity::Create(kSystemCluster, kPersonKind, person);
  if (!identity.ok()) {
    return InvalidArgument("a person's name is 1 to 64 letters, digits, '.', '_', '@' or '-'");
  }
  return absl::OkStatus();
}

absl::Status CheckClusterName(std::string_view name) {
  const auto inner = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
  if (name.empty() || name.size() > kMaxClusterNameSize || !std::all_of(name.begin(), name.end(), inner) ||
      name.front() == '-' || name.back() == '-') {
    return InvalidArgument(
        "a cluster's name is 1 to {} lower-case letters, digits and '-', which neither begins nor ends it",
        kMaxClusterNameSize);
  }
  return absl::OkStatus();
}

// The name is looked up as a file, so that it must not lead out of the time zone database.
absl::Status CheckTimeZone(const std::string& name) {
  const auto allowed = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '/' || c == '_' || c == '-' || c == '+';
  };
  absl::TimeZone zone;
  if (name.size() > kMaxTimeZoneNameSize || name.front() == '/' || !std::all_of(name.begin(), name.end(), allowed) ||
      !absl::LoadTimeZone(name, &zone)) {
    return InvalidArgument("there is no such time zone: give an IANA name such as Europe/Berlin");
  }
  return absl::OkStatus();
}

absl::Status ReadCluster(const Row& row, ClusterRecord& cluster) {
  return row.Scan(cluster.cluster_id, cluster.name, cluster.time_zone, cluster.trust_commit, cluster.created_at);
}

}  // namespace

absl::Status AccessEditor::Audit(int32_t cluster_id, const char* action, std::string_view person,
                                 std::string_view role) {
  return AppendAudit(connection_, {.cluster_id = cluster_id,
                                   .actor = actor_,
                                   .action = action,
                                   .subject = std::string(person),
                                   .detail = {{"role", std::string(role)}}});
}

absl::StatusOr<bool> AccessEditor::Grant(int32_t cluster_id, std::string_view person, std::string_view role) {
  static constexpr Statement kGrant = {"access_grant",
                                       "INSERT INTO access_grant (cluster_id, person, role, granted_by) "
                                       "VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"};
  RETURN_IF_ERROR(CheckPerson(person));
  ASSIGN_OR_RETURN(const Result result,
                   connection_.Execute(kGrant, Parameters().Int64(cluster_id).Text(person).Text(role).Text(actor_)));
  if (result.affected() == 0) return false;
  RETURN_IF_ERROR(Audit(cluster_id, "access.grant", person, role));
  return true;
}

absl::StatusOr<bool> AccessEditor::Revoke(int32_t cluster_id, std::string_view person, std::string_view role) {
  // The cluster's row is locked, so that two administrators cannot revoke each other at once.
  static constexpr Statement kLock = {"access_lock", "SELECT name FROM cluster WHERE cluster_id = $1 FOR UPDATE"};
  static constexpr Statement kRevoke = {"access_revoke",
                                        "DELETE FROM access_grant WHERE cluster_id = $1 AND person = $2 AND role = $3"};
  static constexpr Statement kAdministrators = {
      "access_administrators", "SELECT count(*) FROM access_grant WHERE cluster_id = $1 AND role = 'administrator'"};
  ASSIGN_OR_RETURN(const Result locked, connection_.Execute(kLock, Parameters().Int64(cluster_id)));
  ASSIGN_OR_RETURN(const std::string cluster, locked.Value<std::string>());
  ASSIGN_OR_RETURN(const Result result,
                   connection_.Execute(kRevoke, Parameters().Int64(cluster_id).Text(person).Text(role)));
  if (result.affected() == 0) return false;
  if (cluster == kSystemCluster && role == "administrator") {
    ASSIGN_OR_RETURN(const Result rest, connection_.Execute(kAdministrators, Parameters().Int64(cluster_id)));
    ASSIGN_OR_RETURN(const int64_t administrators, rest.Value<int64_t>());
    if (administrators == 0) {
      return FailedPrecondition("{} is the last administrator of the cluster {}: grant the role to somebody else first",
                                person, cluster);
    }
  }
  RETURN_IF_ERROR(Audit(cluster_id, "access.revoke", person, role));
  return true;
}

absl::StatusOr<std::vector<AccessGrantRecord>> AccessEditor::List(int32_t cluster_id) {
  static constexpr Statement kList = {
      "access_list",
      "SELECT person, role, granted_by, granted_at FROM access_grant WHERE cluster_id = $1 ORDER BY person, role"};
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(kList, Parameters().Int64(cluster_id)));
  std::vector<AccessGrantRecord> grants;
  for (const Row row : result) {
    AccessGrantRecord& grant = grants.emplace_back();
    RETURN_IF_ERROR(row.Scan(grant.person, grant.role, grant.granted_by, grant.granted_at));
  }
  return grants;
}

absl::StatusOr<ClusterRecord> AccessEditor::CreateCluster(std::string_view name, std::string_view time_zone) {
  static constexpr Statement kCreate = {
      "cluster_create",
      "INSERT INTO cluster (name, time_zone) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING "
      "RETURNING cluster_id, name, time_zone, trust_commit, created_at"};
  RETURN_IF_ERROR(CheckClusterName(name));
  const std::string zone_name(time_zone.empty() ? "UTC" : time_zone);
  RETURN_IF_ERROR(CheckTimeZone(zone_name));
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(kCreate, Parameters().Text(name).Text(zone_name)));
  if (result.empty()) return AlreadyExists("the cluster {} exists already", name);
  ClusterRecord cluster;
  RETURN_IF_ERROR(ReadCluster(result[0], cluster));
  RETURN_IF_ERROR(AppendAudit(connection_, {.cluster_id = cluster.cluster_id,
                                            .actor = actor_,
                                            .action = "cluster.create",
                                            .subject = cluster.name,
                                            .detail = {{"time_zone", cluster.time_zone}}}));
  return cluster;
}

absl::StatusOr<std::vector<ClusterRecord>> AccessEditor::ListClusters() {
  static constexpr Statement kClusters = {
      "cluster_list", "SELECT cluster_id, name, time_zone, trust_commit, created_at FROM cluster ORDER BY name"};
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(kClusters));
  std::vector<ClusterRecord> clusters;
  for (const Row row : result) RETURN_IF_ERROR(ReadCluster(row, clusters.emplace_back()));
  return clusters;
}

}  // namespace trustline
