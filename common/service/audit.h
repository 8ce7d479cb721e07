// The audit log: who did what, to what, with what outcome. Rows enter through the database function audit_append only
// (migrations/0003_audit.sql).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/service/clock.h"
#include "common/service/log.h"
#include "common/service/metrics.h"

namespace trustline {

class Connection;

enum class AuditOutcome : uint8_t { kDone, kDenied, kFailed };

struct AuditEvent {
  int32_t cluster_id = 0;
  std::optional<absl::Time> occurred_at;  // the database's time when not given
  std::string actor;                      // identity URI
  std::string action;                     // "trust.add", "access.denied"
  std::string subject;                    // what was acted on
  AuditOutcome outcome = AuditOutcome::kDone;
  std::vector<std::pair<std::string, std::string>> detail;  // becomes a JSON object, in this order
};

std::string_view AuditOutcomeText(AuditOutcome outcome);
std::string AuditDetailJson(const AuditEvent& event);

// Inserts the event in whatever transaction `connection` is in, so that it is recorded exactly when what it records is:
// then with the transaction's next statement, or its commit, which has its error.
absl::Status AppendAudit(Connection& connection, const AuditEvent& event);

struct AuditQueueOptions {
  std::string connection;        // libpq's connection string
  std::string application_name;  // shown by PostgreSQL
  size_t capacity = 10000;       // events; one more is given up, logged and counted
};

// Events that belong to no transaction (denials). Each is logged at once (AUDIT_EVENT, whatever the log's level and
// rate), and inserted by a thread with a connection of its own: later, with its own time, when the database is away.
// Order is kept.
class AuditQueue {
 public:
  AuditQueue(AuditQueueOptions options, const Clock& clock, Log& log, Metrics& metrics);
  ~AuditQueue();

  // Never blocks on the database. The caller bounds how many there are.
  void Append(AuditEvent event);

  // The same for a denied call, of which a caller can make any number: the first of its kind is appended at once, what
  // follows within a minute as one event with a count (common/service/denial_aggregator.h). `peer_address` is the
  // peer's, without its port.
  void AppendDenial(AuditEvent event, std::string_view peer_address);

  // Appends the counts, tries for at most `patience` to insert what waits, then ends; what is left is counted in the
  // log. Idempotent.
  void Stop(absl::Duration patience = absl::Seconds(5));

  size_t waiting() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace trustline
