// What a publication means for the record of phones.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "common/postgres/connection.h"
#include "common/postgres/pool.h"
#include "common/service/clock.h"
#include "common/service/log.h"
#include "itl/phone/holding_store.h"

namespace trustline {

// Thread-safe. The references must outlive it.
class PublicationReview {
 public:
  PublicationReview(Pool& pool, HoldingStore& holdings, const Clock& clock, Log& log)
      : pool_(pool), holdings_(holdings), clock_(clock), log_(log) {}

  // Compares hash and host name of each TFTP server's list with those of the last publication, and judges the phones
  // anew that have got a list of their own, or have lost it. What fails is logged, and done with the next publication.
  void Review(int32_t cluster_id, const std::string& cluster);

 private:
  absl::Status CompareHashes(int32_t cluster_id, const std::string& cluster);
  absl::Status JudgeOwnLists(int32_t cluster_id);

  Pool& pool_;
  HoldingStore& holdings_;
  const Clock& clock_;
  Log& log_;
};

}  // namespace trustline
