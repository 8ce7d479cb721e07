// The guard of every change of trust: played against all phones inside the transaction that makes it, before it is
// committed (docs/ARCHITECTURE.md, the pre-flight).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/postgres/connection.h"
#include "common/service/audit.h"
#include "common/service/clock.h"
#include "common/service/key_folder.h"
#include "common/service/log.h"
#include "common/service/metrics.h"
#include "itl/list/change_guard.h"
#include "itl/preflight/fleet_reader.h"
#include "itl/preflight/list_memory.h"
#include "itl/preflight/preflight.h"
#include "itl/preflight/trust_world.h"
#include "proto/phone_trust.pb.h"
#include "proto/preflight.pb.h"

namespace trustline {

// Thread-safe. What it is given must outlive it; `keys` is null where lists are not made, `audit`, which takes what was
// refused, where nobody audits. Metrics: trustline_preflights_total{outcome}.
class PreFlightGate final : public ChangeGuard {
 public:
  PreFlightGate(ListMemory& memory, KeyFolder* keys, const Clock& clock, Log& log, Metrics& metrics, AuditQueue* audit)
      : memory_(memory), keys_(keys), clock_(clock), log_(log), metrics_(metrics), audit_(audit) {}

  absl::Status Run(Connection& transaction, const GuardedChange& change,
                   const std::function<absl::Status()>& apply) override;

 private:
  void RecordRefusal(const GuardedChange& change, const PreFlightResult& result, const absl::Status& terms);
  absl::StatusOr<TrustWorld> ReadWorld(Connection& connection, int32_t cluster_id, absl::Time now);

  ListMemory& memory_;
  KeyFolder* const keys_;
  const Clock& clock_;
  Log& log_;
  Metrics& metrics_;
  AuditQueue* const audit_;
};

// The expiry of each certificate that phones depend on until `until`, in its order: what it means for them if nothing
// is done. Reads as the caller's transaction sees it.
absl::StatusOr<v1::ForecastExpiryResponse> ForecastExpiry(Connection& connection, int32_t cluster_id,
                                                          ListMemory& memory, KeyFolder* keys, absl::Time now,
                                                          absl::Time until);

}  // namespace trustline
