// Verifies again what was issued: `trustctl ca audit`.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/postgres/connection.h"

namespace trustline {

struct CertificateAuditResult {
  int64_t checked = 0;
  std::vector<std::string> findings;  // a sentence each
  int64_t findings_left_out = 0;
};

// Every certificate of the cluster that was requested since `since`: its bytes are what the row says and what was
// intended, keep the profile, verify with the authority's key, and the audit log tells of their issue (and of their
// revocation). Intents that are open for more than a minute are findings too, and what the audit log knows otherwise
// (ca/issuance/ logged_certificates.h). Of the time before the log's retention cut nothing is expected of it.
// `progress` is told the number checked, and ends the audit by an error of its own. Memory does not grow with the
// number of certificates.
absl::StatusOr<CertificateAuditResult> AuditCertificates(Connection& connection, int32_t cluster_id, absl::Time since,
                                                         const std::function<absl::Status(int64_t)>& progress);

}  // namespace trustline
