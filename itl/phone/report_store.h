// Stores what was said of phones: evidence in the phones' rows and their ledger, the rest as claims.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/postgres/connection.h"
#include "common/postgres/pool.h"
#include "itl/phone/holding_store.h"
#include "itl/phone/phone_report.h"
#include "itl/phone/phone_state.h"

namespace trustline {

struct StoredReports {
  int64_t evidence = 0;
  int64_t claims = 0;
  int64_t older = 0;
  int64_t dropped = 0;     // claims for which there was no room
  int64_t unreadable = 0;  // of the evidence: reports whose ITL hash could not be read
  // What became of the phones' rows, in the order of the reports; for those who watch.
  struct Event {
    PhoneState state;
    PhoneEventKind event = PhoneEventKind::kLists;
    absl::Time at;
    bool changed = false;
  };
  std::vector<Event> events;
};

// Thread-safe. The references must outlive it.
class ReportStore {
 public:
  ReportStore(Pool& pool, HoldingStore& holdings) : pool_(pool), holdings_(holdings) {}

  // What belongs to the reports, at the end of their transaction: an error undoes both. May run several times.
  using Also = std::function<absl::Status(Connection& transaction, const StoredReports& stored)>;

  // All or none, in one transaction: when it returns OK the reports are kept, and what `also` did. A report with a
  // basis of a device in service is evidence; any other is a claim.
  absl::StatusOr<StoredReports> Store(int32_t cluster_id, const std::vector<PhoneReport>& reports,
                                      const Also& also = nullptr);

 private:
  // Which of the devices of whom something is said with a basis are there.
  absl::StatusOr<std::set<std::string>> InService(int32_t cluster_id, const std::vector<PhoneReport>& reports);
  absl::StatusOr<StoredReports> StoreIn(Connection& connection, int32_t cluster_id,
                                        const std::vector<ResolvedReport>& reports);

  Pool& pool_;
  HoldingStore& holdings_;
};

}  // namespace trustline
