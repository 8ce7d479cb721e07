// The desk that phones' sessions call: operations in the database, certificates from cad.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "capf/authentication_string.h"
#include "capf/crl_cache.h"
#include "capf/enrolment_desk.h"
#include "capf/enrolment_rate.h"
#include "capf/issuance_client.h"
#include "capf/operation_progress.h"
#include "capf/session_leases.h"
#include "capf/settlement.h"
#include "common/postgres/pool.h"
#include "common/service/audit.h"
#include "common/service/clock.h"
#include "common/service/log.h"
#include "common/service/metrics.h"

namespace trustline {

struct DatabaseDeskOptions {
  std::string cluster;  // name
  std::string node;     // of this system
  std::string actor;    // identity URI, for the audit log
  absl::Duration longest_session = absl::Minutes(30);
};

// All of it outlives the desk.
struct DatabaseDeskParts {
  Pool& pool;
  IssuanceClient& cad;
  const AuthenticationStrings& strings;
  Settlement& settlement;
  EnrolmentRate& rate;
  AuditQueue& audit;
  const Clock& clock;
  Log& log;
  Metrics& metrics;
};

// Thread-safe.
class DatabaseDesk final : public EnrolmentDesk {
 public:
  DatabaseDesk(DatabaseDeskOptions options, const DatabaseDeskParts& parts);

  // NotFound, with what to do, when the database has no cluster of that name; every other call answers the same then.
  absl::Status CheckCluster() { return ClusterId().status(); }

  absl::StatusOr<Admission> Admit(const CapfElements& response, uint32_t session_id, std::string_view address) override;
  absl::StatusOr<std::string> Issue(const OperationClaim& claim, std::string_view public_key) override;
  absl::Status Acknowledge(const OperationClaim& claim) override;
  void Told(const OperationClaim& claim) override;
  void LeftUntold(const OperationClaim& claim) override;
  absl::Status StoreFetched(const OperationClaim& claim, const CapfCertificate& certificate) override;
  absl::Status Deleted(const OperationClaim& claim) override;
  absl::Status Fail(const OperationClaim& claim, std::string_view reason) override;
  absl::Status Release(const OperationClaim& claim) override;

  // Puts on record what Told was called for. To be called from time to time, and at the end.
  absl::Status RecordTold(Pool& pool);

  // Renews the leases of the sessions that run. To be called every few seconds.
  absl::Status RenewLeases(Pool& pool) { return leases_.Renew(pool, cluster_id_, parts_.clock.Now()); }

 private:
  using Detail = std::vector<std::pair<std::string, std::string>>;
  // More that belongs to an operation's success; what it adds stands in the audit row.
  using Extra = std::function<absl::Status(Connection& transaction, const OperationRecord& record, Detail& detail)>;

  absl::StatusOr<int32_t> ClusterId();
  // Forgets the lease of a session whose operation has ended, or is another's. After any other error its end, Release,
  // does.
  absl::Status Ended(const OperationClaim& claim, absl::Status status);
  absl::StatusOr<OperationRecord> Succeed(const OperationClaim& claim, const Extra& extra);
  // Tells cad what is to be told now; what that does not take is told later.
  void Settle(const OperationRecord& record, UnsettledOperation::Kind kind);
  // Whether what cad says of a request is that the device or its key can never have a certificate.
  absl::StatusOr<bool> IsRefusal(const absl::Status& status, const OperationClaim& claim);
  AuditEvent EventOf(int32_t cluster_id, const OperationClaim& claim, AuditOutcome outcome, Detail detail) const;

  const DatabaseDeskOptions options_;
  const DatabaseDeskParts parts_;
  Counter& replayable_;
  std::atomic<int32_t> cluster_id_ = 0;  // 0: not looked up yet
  SessionLeases leases_;
  CrlCache crls_;
  std::mutex told_mutex_;
  std::set<int64_t> told_;        // operations, until that is on record
  std::set<int64_t> being_told_;  // operations that have succeeded, until their sessions are over
};

}  // namespace trustline
