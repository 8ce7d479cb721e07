// The tables of phones, in bulk (migrations/0020_phone_trust.sql). Works inside a transaction that the caller owns.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/bytes/checksums.h"
#include "common/postgres/connection.h"
#include "itl/phone/phone_state.h"

namespace trustline {

// One entry of a ledger.
struct LedgerKey {
  std::string device;
  int64_t holding_id = 0;
  std::string sha1;                                    // 20 bytes; empty: not installed
  std::string how;                                     // "reported", "downloaded", "adopted"
  auto operator<=>(const LedgerKey&) const = default;  // NOLINT(modernize-use-nullptr): it reads the implied 0
};
struct LedgerSpan {
  absl::Time first_at;
  absl::Time last_at;
};

struct HistoryEvent {
  std::string device;
  absl::Time at;
  std::string_view event;  // "reported"; a literal
  int64_t holding_id = 0;
  int64_t ctl_holding_id = 0;
  std::optional<Sha1Digest> itl_sha1;
  std::string address;
  std::string via;
};

class PhoneTable {
 public:
  PhoneTable(Connection& transaction, int32_t cluster_id) : connection_(transaction), cluster_id_(cluster_id) {}

  // Those that are in service, locked until the transaction ends; always in the order of their names, so that no two
  // transactions wait for each other.
  absl::StatusOr<std::map<std::string, PhoneState>> Lock(const std::set<std::string>& devices);
  absl::Status Write(const std::vector<const PhoneState*>& phones);
  absl::Status AddToLedger(const std::map<LedgerKey, LedgerSpan>& entries);
  absl::Status AddToHistory(const std::vector<HistoryEvent>& events);

 private:
  Connection& connection_;
  const int32_t cluster_id_;
};

}  // namespace trustline
