// What cad is still to be told of operations that have ended.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "capf/issuance_client.h"
#include "common/postgres/pool.h"
#include "common/service/clock.h"
#include "common/service/log.h"

namespace trustline {

struct UnsettledOperation {
  enum class Kind : uint8_t {
    kConfirm,  // the device has its certificate
    kRevoke,   // it has deleted what it was issued
    kDiscard,  // it has never acknowledged what it was issued
  };
  int32_t cluster_id = 0;
  std::string cluster;  // name
  int64_t operation_id = 0;
  std::string device;
  Kind kind = Kind::kConfirm;
  int64_t issuance_id = 0;  // that is confirmed, or the newest that is revoked and on record; 0: none
};

// Thread-safe. Any number of capfd may settle the same operation at once. The references must outlive it.
class Settlement {
 public:
  Settlement(Pool& pool, IssuanceClient& cad, const Clock& clock, Log& log)
      : pool_(pool), cad_(cad), clock_(clock), log_(log) {}

  // OK when nothing is left to be told, and the operation's row says so. After an error it is to be tried again.
  absl::Status Settle(const UnsettledOperation& operation);

 private:
  // One that waits for its turn with others, because each call of cad, and each commit, serves as many as there are.
  struct Confirmation {
    const UnsettledOperation& operation;
    bool is_done = false;
    absl::Status status;
  };
  absl::Status Confirm(const UnsettledOperation& operation);
  // Of those that wait, what is of one cluster. Needs the lock.
  std::vector<Confirmation*> TakeBatch();
  absl::Status ConfirmBatch(const std::vector<Confirmation*>& batch);
  absl::Status RecordSettled(int32_t cluster_id, const std::vector<int64_t>& operations);
  // Certificates of the device up to the operation's; of kDiscard those that it never acknowledged.
  absl::Status Revoke(const UnsettledOperation& operation);

  Pool& pool_;
  IssuanceClient& cad_;
  const Clock& clock_;
  Log& log_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Confirmation*> waiting_;  // each on the stack of who waits
  bool is_confirming_ = false;
};

}  // namespace trustline
