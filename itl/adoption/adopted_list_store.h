// Lists that another system made (table adopted_list, migrations/0020_phone_trust.sql), and which phones hold them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/bytes/checksums.h"
#include "common/postgres/connection.h"
#include "itl/list/list_content.h"

namespace trustline {

struct AdoptedFile {
  ListKind kind = ListKind::kItl;
  std::string tftp_server;  // that served it, in lower case
  std::string content;
};

struct AdoptedList {
  std::string origin;
  bool own = false;
  ListKind kind = ListKind::kItl;
  std::string tftp_server;
  Sha1Digest sha1 = {};
  bool is_current = false;
  int64_t size = 0;
  std::string adopted_by;
  absl::Time adopted_at;
  int64_t phones = 0;  // that say so now
};

// Works inside a transaction that the caller owns and commits.
class AdoptedListStore {
 public:
  AdoptedListStore(Connection& transaction, int32_t cluster_id) : connection_(transaction), cluster_id_(cluster_id) {}

  // Until the transaction ends nobody else adopts.
  absl::Status Lock();

  enum class Outcome : uint8_t { kUnchanged, kAdded, kCurrentAgain };
  // The file becomes the current one of its origin, kind and server.
  absl::StatusOr<Outcome> Put(std::string_view origin, bool own, const AdoptedFile& file, std::string_view actor);

  // Whether all lists of the origin are this cluster's history. The result is how many were not what they are now.
  absl::StatusOr<int64_t> SetOwn(std::string_view origin, bool own);

  // Phones that said that they hold one of these files, and whose word meant no list that was known or that of another
  // origin, get the holding that their next report would have (HoldingStore). Returns how many.
  absl::StatusOr<int64_t> ResolvePhones(const std::vector<Sha1Digest>& files);

  // By origin, server and kind; the current one of each first, then the newest. With a hash only what has it.
  absl::StatusOr<std::vector<AdoptedList>> List(const std::optional<Sha1Digest>& sha1 = std::nullopt);

  // The bytes of an adopted file. NotFound, with the next step.
  absl::StatusOr<std::string> Content(const Sha1Digest& sha1);

 private:
  Connection& connection_;
  const int32_t cluster_id_;
};

}  // namespace trustline
