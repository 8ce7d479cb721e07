// What phones hold, each different thing once (table phone_holding, migrations/0020_phone_trust.sql).
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/postgres/pool.h"
#include "itl/list/list_content.h"
#include "itl/phone/phone_report.h"

namespace trustline {

// Finds the numbers of what reports say, and makes those that are not there yet. Thread-safe; remembers what it found.
class HoldingStore {
 public:
  explicit HoldingStore(Pool& pool) : pool_(pool) {}

  struct Said {
    std::string device;
    ListKind kind = ListKind::kItl;
    ListSignature signature;
    std::string server;  // in lower case; empty when none was named
  };
  // In the order of `said`. A hash is one of our generations, else an adopted list, else just not ours. Commits what it
  // makes at once: a transaction that is undone later leaves holdings that nobody has.
  absl::StatusOr<std::vector<int64_t>> Find(int32_t cluster_id, const std::vector<Said>& said);

 private:
  struct Key {
    ListKind kind;
    ListSignature::State state;
    int64_t server_id;
    int64_t list_id;
    int64_t generation;
    int64_t adopted_id;
    bool own_list;
    auto operator<=>(const Key&) const = default;  // NOLINT(modernize-use-nullptr): it reads the implied 0
  };
  struct Origin {
    int64_t list_id = 0;
    int64_t generation = 0;
    int64_t adopted_id = 0;
    std::string device;  // whose own list it is; empty: of all phones
  };
  using Hashes = std::map<std::pair<ListKind, Sha1Digest>, Origin>;

  absl::StatusOr<std::map<std::string, int64_t>> ServerIds(Connection& connection, int32_t cluster_id,
                                                           const std::set<std::string>& names);
  static absl::StatusOr<Hashes> Origins(Connection& connection, int32_t cluster_id, const std::vector<Said>& said);
  // Those of the devices that are to have a list of their own at the server that they name.
  static absl::StatusOr<std::set<std::pair<std::string, std::string>>> OwnLists(Connection& connection,
                                                                                int32_t cluster_id,
                                                                                const std::vector<Said>& said);
  absl::StatusOr<std::map<Key, int64_t>> HoldingIds(Connection& connection, int32_t cluster_id,
                                                    const std::set<Key>& keys);

  Pool& pool_;
  std::mutex mutex_;
  std::map<std::pair<int32_t, std::string>, int64_t> servers_;
  std::map<std::pair<int32_t, Key>, int64_t> holdings_;
};

}  // namespace trustline
