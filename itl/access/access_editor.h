// Clusters, and who has which role on them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/postgres/connection.h"

namespace trustline {

struct AccessGrantRecord {
  std::string person;
  std::string role;  // "viewer", "operator", "administrator", "auditor"
  std::string granted_by;
  absl::Time granted_at;
};

struct ClusterRecord {
  int32_t cluster_id = 0;
  std::string name;
  std::string time_zone;
  int64_t trust_commit = 0;
  absl::Time created_at;
};

// Works inside a transaction that the caller owns and commits; audits what it changes. `actor` is the identity URI of
// who asks.
class AccessEditor {
 public:
  AccessEditor(Connection& transaction, std::string actor) : connection_(transaction), actor_(std::move(actor)) {}

  // False when the person has the role already. InvalidArgument for a name that no person can have.
  absl::StatusOr<bool> Grant(int32_t cluster_id, std::string_view person, std::string_view role);

  // False when the person does not have the role. FailedPrecondition for the last administrator of the cluster
  // "default", after whom nobody could grant anything.
  absl::StatusOr<bool> Revoke(int32_t cluster_id, std::string_view person, std::string_view role);

  absl::StatusOr<std::vector<AccessGrantRecord>> List(int32_t cluster_id);

  // InvalidArgument for a name of another form or a time zone that does not exist, AlreadyExists.
  absl::StatusOr<ClusterRecord> CreateCluster(std::string_view name, std::string_view time_zone);

  absl::StatusOr<std::vector<ClusterRecord>> ListClusters();

 private:
  absl::Status Audit(int32_t cluster_id, const char* action, std::string_view person, std::string_view role);

  Connection& connection_;
  std::string actor_;
};

}  // namespace trustline
