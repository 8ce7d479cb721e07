// What retention leaves in the place of retired audit rows: where their part of the chain ended, signed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/postgres/connection.h"
#include "common/rpc/identity_authority.h"
#include "common/x509/certificate.h"
#include "itl/audit/seal_file.h"

namespace trustline {

struct AuditCheckpoint {
  Seal seal;  // of the last row that was removed
  int64_t first_number = 0;
  absl::Time retired_before;  // the beginning of a month (UTC)
  absl::Time at;
  int64_t removed_rows = 0;
  std::string made_by;    // identity URI
  std::string signature;  // over all of the above
  std::string signer;     // the identity authority's certificate, DER

  // Whether the row of `seal` is among those removed, as far as the checkpoint can tell: it has the last one's hash
  // only.
  bool StandsFor(const Seal& other) const;
};

// Sets signature and signer.
absl::Status SignCheckpoint(const IdentityAuthority& authority, AuditCheckpoint& checkpoint);

// DataLoss unless `authority` signed the checkpoint as it is.
absl::Status CheckCheckpoint(const AuditCheckpoint& checkpoint, const Certificate& authority);

absl::Status InsertCheckpoint(Connection& connection, const AuditCheckpoint& checkpoint);

// All, in the order of their numbers: one for each time that rows were retired.
absl::StatusOr<std::vector<AuditCheckpoint>> ReadCheckpoints(Connection& connection);
absl::StatusOr<std::optional<AuditCheckpoint>> NewestCheckpoint(Connection& connection);

}  // namespace trustline
