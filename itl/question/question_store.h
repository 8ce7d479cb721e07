// The tables of what phones asked TVS (migrations/0021_tvs_questions.sql).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/postgres/connection.h"
#include "itl/question/question_counts.h"

namespace trustline {

// How many rows may come in an hour of a cluster. What exceeds it is counted without the device, then without the
// signer.
struct QuestionLimits {
  int64_t questions = 100'000;
  int64_t signers = 2'000;
};

struct QuestionFilter {
  std::string device;  // empty: all
  std::optional<bool> valid;
  absl::Time since;  // the whole hour that it is in
  bool by_device = false;
};

struct QuestionLine {
  std::optional<QuestionSigner> signer;  // by device: empty when it asked about several
  std::string device;
  bool valid = false;
  int32_t reason = 0;
  int64_t count = 0;
  int64_t phones = 0;
  std::vector<std::string> nodes;
  absl::Time first_at;
  absl::Time last_at;
  int32_t signer_id = 0;  // 0 by device
};

// Where a page ended: after that line. What is asked between two pages may move a line over that place.
struct QuestionPosition {
  bool unknown = false;
  int64_t count = 0;
  int32_t signer_id = 0;
  std::string device;
  bool valid = false;
  int32_t reason = 0;
};

// Works inside a transaction that the caller owns.
class QuestionStore {
 public:
  QuestionStore(Connection& transaction, int32_t cluster_id, absl::Time now)
      : connection_(transaction), cluster_id_(cluster_id), now_(now) {}

  // Adds a batch of a node's process, unless one with this number or a later one was added already: false then, and
  // nothing of it counts. With it goes what it says of the ways to the node (tvs_reach_store.h). Locks the cluster's
  // counts until the transaction ends.
  absl::StatusOr<bool> Count(const QuestionBatch& batch, const QuestionLimits& limits = {});

  // Unknown signers first, then the most asked about; a line for each signer and verdict, or each device and verdict.
  // With a device, a line for each signer that it asked about. At most `most`, after `position`. Sets the
  // transaction's work_mem.
  absl::StatusOr<std::vector<QuestionLine>> List(const QuestionFilter& filter,
                                                 const std::optional<QuestionPosition>& position, int32_t most);

 private:
  struct Room {
    int64_t questions = 0;
    int64_t signers = 0;
  };
  // A node's clock may be wrong.
  absl::Time Within(absl::Time at) const;
  absl::StatusOr<Room> LockRoom();
  absl::Status ForgetOld();
  absl::StatusOr<std::vector<int64_t>> SignerIds(const std::vector<QuestionCounts>& counts, int64_t room,
                                                 int64_t& added);
  absl::StatusOr<int64_t> AddCounts(std::string_view node, const std::vector<QuestionCounts>& counts,
                                    const std::vector<int64_t>& signer_ids, int64_t room);

  Connection& connection_;
  const int32_t cluster_id_;
  const absl::Time now_;
};

}  // namespace trustline
