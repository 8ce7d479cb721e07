// Revokes in bulk what a rollover has left behind: `trustctl lsc revoke --authority ID --superseded`.
#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ca/revocation/revocation.h"
#include "common/postgres/pool.h"

namespace trustline {

struct SupersededCount {
  int64_t checked = 0;  // good certificates of the authority
  int64_t revoked = 0;  // those whose device has acknowledged a newer good one of another authority
};

// In many transactions: what ended half-way goes on at the next call. `progress` is told after each, and ends it by an
// error of its own. FailedPrecondition unless the authority is tainted.
absl::StatusOr<SupersededCount> RevokeSuperseded(Pool& pool, const AuthorityCaller& caller, int32_t authority_id,
                                                 const std::function<absl::Status(const SupersededCount&)>& progress);

}  // namespace trustline
