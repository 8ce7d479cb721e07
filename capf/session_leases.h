// The claims of sessions that run in this process, whose leases it renews while they do.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "capf/enrolment_desk.h"
#include "common/postgres/pool.h"

namespace trustline {

// A claim is good for so long: an operation whose session was lost with its process is nobody's after that.
inline constexpr absl::Duration kSessionLease = absl::Minutes(2);
// Three renewals may go wrong.
inline constexpr absl::Duration kLeaseRenewal = absl::Seconds(30);

// Thread-safe. Of one cluster.
class SessionLeases {
 public:
  // `end`: the session is over then at the latest, and its lease is not renewed any more.
  void Add(const OperationClaim& claim, absl::Time end);
  // Nothing when it is not there.
  void Remove(const OperationClaim& claim);

  // To be called more often than leases are to be renewed: nothing happens before it is time. After an error the next
  // call tries again. A claim that was lost stays lost.
  absl::Status Renew(Pool& pool, int32_t cluster_id, absl::Time now);

 private:
  struct Running {
    int64_t operation_id = 0;
    absl::Time end;
  };

  std::mutex mutex_;
  std::map<std::string, Running> running_;  // by claim
  absl::Time renewed_at_ = absl::InfinitePast();
};

}  // namespace trustline
