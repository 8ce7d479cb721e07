// The clusters, the access grants, and the removed machines, as the database last had them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/postgres/connection.h"
#include "common/rpc/identity.h"
#include "common/rpc/method_policy.h"
#include "common/service/clock.h"
#include "common/service/log.h"

namespace trustline {

// Immutable once read.
class AccessGrants {
 public:
  // One query for clusters and grants, so that they are of one moment.
  static absl::StatusOr<AccessGrants> Read(Connection& connection);

  std::optional<int32_t> ClusterId(std::string_view name) const;
  RoleSet RolesOf(std::string_view person, int32_t cluster_id) const;
  // The roles on all clusters together.
  RoleSet RolesAnywhere(std::string_view person) const;
  // The identity is that of a service on a machine that was removed.
  bool WasRemoved(const Identity& identity) const;

  bool operator==(const AccessGrants&) const = default;

 private:
  std::map<std::string, int32_t, std::less<>> clusters_;
  std::map<std::string, std::map<int32_t, RoleSet>, std::less<>> people_;
  std::set<std::string> removed_;  // URIs
};

struct AccessGrantsReaderOptions {
  std::string connection;
  std::string application_name;
  absl::Duration poll_interval;
};

// Keeps AccessGrants current on a thread with a connection of its own: reads at every notification access_change and at
// each poll interval.
class AccessGrantsReader {
 public:
  AccessGrantsReader(AccessGrantsReaderOptions options, const Clock& clock, Log& log);
  ~AccessGrantsReader();

  void Start();
  void Stop();

  // Null before the first reading. Takes no lock unless the grants have changed since this thread's last call.
  std::shared_ptr<const AccessGrants> Current() const;
  // When the database was last asked and answered; InfinitePast before.
  absl::Time confirmed_at() const;
  // Waits for a reading that begins after this call.
  absl::Status WaitForRefresh(absl::Duration timeout);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace trustline
