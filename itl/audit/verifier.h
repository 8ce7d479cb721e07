// Recomputes the audit chain and compares it with the seal file.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/postgres/connection.h"
#include "itl/audit/seal_file.h"

namespace trustline {

struct AuditVerification {
  int64_t events_checked = 0;
  int64_t events_not_yet_sealed = 0;
  std::vector<std::string> findings;  // a sentence for each thing that does not fit, at most 100 and one that says more
  Seal last;                          // the end of the chain

  bool intact() const { return findings.empty(); }
};

// Called after each batch of rows; an error ends the verification and is returned.
using VerifyProgress = std::function<absl::Status(int64_t events_checked)>;

// Finds altered, deleted and inserted rows, gaps in the numbers, a cut tail, a rewritten chain and a forged queue, in
// one state of the database and in memory that does not grow with the log. The connection must have no open
// transaction.
absl::StatusOr<AuditVerification> VerifyAuditChain(Connection& connection, const std::string& seal_file,
                                                   const VerifyProgress& progress);

}  // namespace trustline
