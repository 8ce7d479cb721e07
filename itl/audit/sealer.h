// Chains committed audit rows by hash, within a second of their commit.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/postgres/connection.h"
#include "common/service/clock.h"
#include "common/service/log.h"
#include "common/service/metrics.h"
#include "common/x509/certificate.h"
#include "itl/audit/seal_file.h"

namespace trustline {

// Gives up to 500 committed rows their numbers and hashes, in a transaction of its own; several sealers wait for each
// other. Returns how many rows were sealed.
absl::StatusOr<int64_t> SealBatch(Connection& connection);

// Keeps every sealer waiting until the end of the connection's transaction.
absl::Status LockSealing(Connection& connection);

// The end of the chain, which is the newest checkpoint's when everything was retired; number 0 when nothing is sealed.
absl::StatusOr<Seal> LastSeal(Connection& connection);

// DataLoss when neither the chain in the database has this seal nor a checkpoint that `authority` signed stands for it:
// somebody cut or rewrote it.
absl::Status CheckSeal(Connection& connection, const Seal& seal, const Certificate& authority);

struct AuditSealerOptions {
  std::string connection;  // libpq's connection string
  std::string seal_file;
  Certificate authority;  // the identity authority's, which signs checkpoints
  absl::Duration poll_interval = absl::Milliseconds(300);
  absl::Duration record_interval = absl::Minutes(1);  // between lines of the seal file
};

// A thread with a connection of its own, which outlives the database's absences. It seals, writes the end of the chain
// to the seal file, and makes the monthly partitions of the audit table once a day. A seal file that the database does
// not agree with is evidence: it is never written again by this process until they agree.
// Metrics: trustline_audit_unsealed, trustline_audit_last_number, trustline_audit_seal_failures_total.
class AuditSealer {
 public:
  AuditSealer(AuditSealerOptions options, const Clock& clock, Log& log, Metrics& metrics);
  ~AuditSealer();

  // Errors are those of the seal file.
  absl::Status Start();
  // Seals and records what there is, trying for a few seconds at most. Idempotent.
  void Stop();

  // OK when the last round reached the database and the chain agrees with the seal file.
  absl::Status Ready() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace trustline
