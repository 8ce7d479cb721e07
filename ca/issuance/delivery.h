// What became of issued certificates on their way to the devices.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ca/issuance/issuance_store.h"
#include "ca/revocation/revocation.h"

namespace trustline {

struct Deliveries {
  // Of each issuance in the order asked for: as it is now; NotFound; FailedPrecondition when its state does not let it
  // become what it was to become. What was said before is OK.
  std::vector<absl::StatusOr<IssuanceRecord>> outcomes;
  // Certificates that are revoked with it: Revoker::RevokeReplaced().
  int64_t superseded = 0;
};

// kDelivered: on its way; kConfirmed: the device has acknowledged it. Each change is audited as lsc.deliver or
// lsc.confirm. Works inside a transaction that the caller owns and commits.
absl::StatusOr<Deliveries> RecordDeliveries(Connection& transaction, const AuthorityCaller& caller,
                                            std::span<const int64_t> issuances, IssuanceState state);

}  // namespace trustline
