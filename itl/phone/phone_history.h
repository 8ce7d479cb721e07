// Who held what when: the ledger and the history of a phone, and the curve of adoption. Reads as the caller's
// transaction sees it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/bytes/checksums.h"
#include "common/postgres/connection.h"

namespace trustline {

struct HeldEntry {
  int64_t holding_id = 0;
  std::optional<Sha1Digest> sha1;  // absent: nothing was installed
  std::string how;
  absl::Time first_at;
  absl::Time last_at;
};

struct PastEvent {
  absl::Time at;
  int64_t event_id = 0;
  std::string event;
  int64_t holding_id = 0;
  std::optional<Sha1Digest> itl_sha1;
  std::string address;
  std::string via;
};

// Phones by what they held at a moment.
struct AdoptionPoint {
  absl::Time at;
  std::map<int64_t, int64_t> phones;  // by holding
};

class PhoneHistory {
 public:
  PhoneHistory(Connection& connection, int32_t cluster_id) : connection_(connection), cluster_id_(cluster_id) {}

  // The newest first.
  absl::StatusOr<std::vector<HeldEntry>> Ledger(const std::string& device);
  struct Position {
    absl::Time at = absl::InfiniteFuture();
    int64_t event_id = INT64_MAX;
  };
  // The newest first, from behind `before` on.
  absl::StatusOr<std::vector<PastEvent>> Events(const std::string& device, const Position& before, int64_t limit);
  // At moments that lie the same time apart, from `since` to `now`: what was recorded last before each of them.
  absl::StatusOr<std::vector<AdoptionPoint>> Adoption(absl::Time since, absl::Time now, int points);

 private:
  Connection& connection_;
  const int32_t cluster_id_;
};

}  // namespace trustline
