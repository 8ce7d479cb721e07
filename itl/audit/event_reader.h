// Reads the audit log in pages.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/bytes/sha256.h"
#include "common/postgres/connection.h"
#include "itl/audit/chain.h"
#include "itl/audit/seal_file.h"

namespace trustline {

struct AuditFilter {
  std::vector<int64_t> cluster_ids;
  std::optional<absl::Time> since;  // by occurred_at; both included
  std::optional<absl::Time> until;
  std::string actor;   // an identity URI, or the name at its end; empty: any
  std::string action;  // "trust.add", or "trust" for all that begin so; empty: any
  int64_t limit = 0;   // the newest so many; 0: all
};

struct ListedAuditEvent {
  AuditRow row;
  std::string cluster;       // name; empty for what happened on no cluster
  std::optional<Seal> seal;  // empty: not yet sealed
};

// The events of one request, in the order of their insertion: those that were there when it was created.
class AuditEventReader {
 public:
  static absl::StatusOr<AuditEventReader> Create(Connection& connection, AuditFilter filter);

  // The next events, at most 500; none at the end. Each call may use another connection.
  absl::StatusOr<std::vector<ListedAuditEvent>> Next(Connection& connection);

 private:
  AuditEventReader(AuditFilter filter, int64_t after, int64_t last)
      : filter_(std::move(filter)), after_(after), last_(last) {}
  AuditFilter filter_;
  int64_t after_;
  int64_t last_;
};

}  // namespace trustline
