// The other direction of `trustctl ca audit`: from the audit log to what is on record.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/postgres/connection.h"

namespace trustline {

// As the audit log has it.
struct LostCertificate {
  std::string serial;  // hexadecimal
  std::string device;
};

// Certificates of the cluster of whose issue since `since` the audit log tells, that are not on record and whose end is
// not among those that a purge removed (table issuance_purge). `progress` is called again and again, and ends the
// search by an error of its own.
absl::Status FindLostCertificates(Connection& connection, int32_t cluster_id, absl::Time since,
                                  const std::function<void(const LostCertificate&)>& found,
                                  const std::function<absl::Status()>& progress);

}  // namespace trustline
