// Recomputes the audit chain and compares it with the seal file.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/postgres/connection.h"
#include "common/x509/certificate.h"
#include "itl/audit/seal_file.h"

namespace trustline {

struct AuditVerification {
  int64_t events_checked = 0;
  int64_t events_not_yet_sealed = 0;
  std::vector<std::string> findings;  // a sentence for each thing that does not fit, at most 100 and one that says more
  Seal last;                          // the end of the chain
  int64_t retired_rows = 0;           // that signed checkpoints stand for
  std::optional<absl::Time> retired_before;

  bool intact() const { return findings.empty(); }
};

// Called after each batch of rows; an error ends the verification and is returned.
using VerifyProgress = std::function<absl::Status(int64_t events_checked)>;

// Finds altered, deleted and inserted rows, gaps in the numbers, a cut tail, a rewritten chain, a forged queue and
// checkpoints that `authority` did not sign, in one state of the database and in memory that does not grow with the
// log. The chain begins at the newest checkpoint. The connection must have no open transaction.
absl::StatusOr<AuditVerification> VerifyAuditChain(Connection& connection, const std::string& seal_file,
                                                   const Certificate& authority, const VerifyProgress& progress);

// The same of the chain up to `last_number` and of the rows that were inserted before `before`, in the transaction that
// the connection is in. What comes after them is not looked at.
absl::StatusOr<AuditVerification> VerifyAuditChainUpTo(Connection& connection, const std::string& seal_file,
                                                       const Certificate& authority, int64_t last_number,
                                                       absl::Time before, const VerifyProgress& progress);

}  // namespace trustline
