// Searches in what was issued: a million rows, any one filter within 50 ms.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/issuance/issuance_store.h"
#include "common/postgres/connection.h"

namespace trustline {

struct IssuanceFilter {
  std::string device_prefix;      // upper case
  std::string subject_prefix;     // of the text "CN=...,O=..."
  std::string serial_prefix;      // hexadecimal digits, in lower case
  std::string public_key_prefix;  // of the SHA-256, likewise
  int32_t authority_id = 0;       // 0: any
  std::optional<absl::Time> expires_after, expires_before;
  std::optional<IssuanceState> state;
  bool good = false;  // signed, not revoked, not past its end, of a device in service
};

struct IssuancePage {
  std::vector<IssuanceRecord> records;
  std::string next;  // empty after the last page
};

// The order follows the filter, so that one index gives both: by device, subject, or expiry when those are asked for,
// in this precedence (good ones are by expiry); else the newest first. `after` is a page's `next`; InvalidArgument for
// anything else.
absl::StatusOr<IssuancePage> ListIssuances(Connection& connection, int32_t cluster_id, const IssuanceFilter& filter,
                                           int32_t page_size, std::string_view after);

// The one certificate whose serial number begins with these hexadecimal digits. NotFound; FailedPrecondition when there
// are several.
absl::StatusOr<IssuanceRecord> FindBySerialPrefix(Connection& connection, int32_t cluster_id,
                                                  std::string_view serial_prefix);
// The newest issuance of a device that has a certificate.
absl::StatusOr<IssuanceRecord> FindNewestOf(Connection& connection, int32_t cluster_id, std::string_view device);

}  // namespace trustline
