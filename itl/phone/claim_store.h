// What was said of phones by somebody whose word is no evidence (table phone_claim): shown, bounded in number, and
// without any effect. Works inside a transaction that the caller owns.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/postgres/connection.h"
#include "itl/phone/holding_view.h"
#include "itl/phone/phone_report.h"

namespace trustline {

inline constexpr int64_t kMostClaims = 10'000;       // of a cluster
inline constexpr int64_t kMostClaimsOfSource = 100;  // of an address; of IPv6: of its /64
// Whose phones nobody has added as devices yet.
inline constexpr int64_t kMostClaimsOfForwarder = 5'000;
inline constexpr absl::Duration kLifeOfClaims = absl::Hours(24 * 7);

struct Claim {
  std::string device;
  std::string source;
  ListSignature itl;
  std::string server;
  std::string user_agent;
  std::string address;
  std::string reason;
  absl::Time first_at;
  absl::Time last_at;
  int64_t reports = 1;
  bool of_forwarder = false;  // of a device that was not there
};

class ClaimStore {
 public:
  ClaimStore(Connection& transaction, int32_t cluster_id) : connection_(transaction), cluster_id_(cluster_id) {}

  // The newest of a device and a source stays. A source that has as many as it may gets no more; beyond the cluster's
  // bound the oldest go. Returns how many there was no room for.
  absl::StatusOr<int64_t> Add(const std::vector<PhoneReport>& reports);
  // By device and source, from behind (`device`, `source`) on; at most `limit`.
  absl::StatusOr<std::vector<Claim>> List(const std::pair<std::string, std::string>& after, int64_t limit);
  absl::StatusOr<std::vector<Claim>> OfDevice(const std::string& device);
  absl::StatusOr<int64_t> Count();
  // Those that nobody has repeated for kLifeOfClaims.
  absl::Status Forget(absl::Time now);

 private:
  Connection& connection_;
  const int32_t cluster_id_;
};

// What their statuses would be, in their order.
absl::StatusOr<std::vector<HoldingView>> JudgeClaims(Connection& connection, const HoldingViews& views,
                                                     const std::vector<Claim>& claims);

}  // namespace trustline
