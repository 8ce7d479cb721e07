#include "itl/audit/sealer.h"

#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "common/bytes/bytes.h"
#include "common/postgres/interrupt.h"
#include "common/postgres/transaction.h"
#include "common/status/status.h"
#include "itl/audit/chain.h"
#include "itl/audit/checkpoint.h"

namespace trustline {
namespace {

// Any number that no other advisory lock of the system has ("audit" as bytes).
constexpr int64_t kSealLock = 0x6175646974;
constexpr int64_t kMostInBatch = 500;
constexpr absl::Duration kPartitionRetry = absl::Minutes(5);
constexpr absl::Duration kPartitionInterval = absl::Hours(24);
constexpr absl::Duration kStopPatience = absl::Seconds(3);

absl::StatusOr<int64_t> SealInTransaction(Connection& connection) {
  static constexpr Statement kPending = {
      "audit_pending",
      "SELECT e.event_id, e.cluster_id, e.at, e.occurred_at, e.actor, e.action, e.subject, e.outcome, e.detail "
      "FROM audit_unsealed u JOIN audit_event e ON e.event_id = u.event_id AND e.at = u.at "
      "WHERE NOT EXISTS (SELECT FROM audit_seal s WHERE s.event_id = u.event_id) ORDER BY u.event_id LIMIT $1"};
  static constexpr Statement kSeal = {
      "audit_seal_rows",
      "INSERT INTO audit_seal (number, event_id, at, hash) SELECT n.number, u.event_id, u.at, n.hash "
      "FROM unnest($1, $2, $3) AS n(number, event_id, hash) JOIN audit_unsealed u ON u.event_id = n.event_id"};
  static constexpr Statement kDone = {"audit_seal_done", "DELETE FROM audit_unsealed WHERE event_id = ANY($1)"};

  RETURN_IF_ERROR(LockSealing(connection));
  ASSIGN_OR_RETURN(Seal seal, LastSeal(connection));
  ASSIGN_OR_RETURN(const Result pending, connection.Execute(kPending, Parameters().Int64(kMostInBatch)));
  std::vector<int64_t> numbers;
  std::vector<int64_t> event_ids;
  std::vector<std::string> hashes;
  for (const Row row : pending) {
    AuditRow event;
    RETURN_IF_ERROR(row.Scan(event.event_id, event.cluster_id, event.at, event.occurred_at, event.actor, event.action,
                             event.subject, event.outcome, event.detail));
    // A forged row with the number of a real one must not stop the sealing; verification finds it.
    if (!event_ids.empty() && event_ids.back() == event.event_id) continue;
    seal.hash = ChainHash(seal.hash, ++seal.number, event);
    numbers.push_back(seal.number);
    event_ids.push_back(event.event_id);
    hashes.emplace_back(AsText(seal.hash));
  }
  if (numbers.empty()) return 0;
  RETURN_IF_ERROR(
      connection.Execute(kSeal, Parameters().Int64Array(numbers).Int64Array(event_ids).BytesArray(hashes)).status());
  RETURN_IF_ERROR(connection.Execute(kDone, Parameters().Int64Array(event_ids)).status());
  return static_cast<int64_t>(numbers.size());
}

}  // namespace

absl::StatusOr<int64_t> SealBatch(Connection& connection) {
  return RunInTransaction(connection, {}, SealInTransaction);
}

absl::Status LockSealing(Connection& connection) {
  static constexpr Statement kLock = {"audit_seal_lock", "SELECT pg_advisory_xact_lock($1)"};
  return connection.Execute(kLock, Parameters().Int64(kSealLock)).status();
}

absl::StatusOr<Seal> LastSeal(Connection& connection) {
  static constexpr Statement kLast = {
      "audit_last_seal",
      "(SELECT number, hash FROM audit_seal ORDER BY number DESC LIMIT 1) UNION ALL "
      "(SELECT number, hash FROM audit_checkpoint ORDER BY number DESC LIMIT 1) ORDER BY number DESC LIMIT 1"};
  ASSIGN_OR_RETURN(const Result last, connection.Execute(kLast));
  Seal seal;
  if (!last.empty()) RETURN_IF_ERROR(last[0].Scan(seal.number, seal.hash));
  return seal;
}

absl::Status CheckSeal(Connection& connection, const Seal& seal, const Certificate& authority) {
  static constexpr Statement kHash = {"audit_seal_hash", "SELECT hash FROM audit_seal WHERE number = $1"};
  ASSIGN_OR_RETURN(const Result result, connection.Execute(kHash, Parameters().Int64(seal.number)));
  if (result.empty()) {
    ASSIGN_OR_RETURN(const std::optional<AuditCheckpoint> checkpoint, NewestCheckpoint(connection));
    if (checkpoint && checkpoint->StandsFor(seal)) return CheckCheckpoint(*checkpoint, authority);
    ASSIGN_OR_RETURN(const Seal last, LastSeal(connection));
    return DataLoss(
        "the seal file records audit number {}, but the chain in the database ends at {}: audit rows were cut off, or "
        "an old copy of the database was restored; run `trustctl audit verify` and keep the seal file",
        seal.number, last.number);
  }
  ASSIGN_OR_RETURN(const Sha256Digest hash, result.Value<Sha256Digest>());
  if (hash != seal.hash) {
    return DataLoss(
        "the audit chain at number {} is not the one that the seal file records: the audit log was rewritten, or it is "
        "another database; run `trustctl audit verify` and keep the seal file",
        seal.number);
  }
  return absl::OkStatus();
}

class AuditSealer::Impl {
 public:
  Impl(AuditSealerOptions options, const Clock& clock, Log& log, Metrics& metrics)
      : options_(std::move(options)),
        clock_(clock),
        log_(log),
        unsealed_(metrics.GetGauge("trustline_audit_unsealed", "Audit rows that are not chained yet")),
        last_number_(metrics.GetGauge("trustline_audit_last_number", "Number of the last audit row in the chain")),
        failures_(metrics.GetCounter("trustline_audit_seal_failures_total", "Rounds of the sealer that failed")) {}

  ~Impl() { Stop(); }

  absl::Status Start() {
    ASSIGN_OR_RETURN(SealFile file, SealFile::Open(options_.seal_file));
    file_.emplace(std::move(file));
    thread_ = std::thread([this] { Run(); });
    return absl::OkStatus();
  }

  void Stop() {
    if (!thread_.joinable()) return;
    {
      std::unique_lock lock(mutex_);
      stopping_ = true;
      changed_.notify_all();
      changed_.wait_for(lock, absl::ToChronoMilliseconds(kStopPatience), [this] { return finished_; });
    }
    interrupt_.Raise();
    thread_.join();
    file_.reset();
  }

  absl::Status Ready() const {
    const std::lock_guard lock(mutex_);
    // A copy of its own: thread sanitizers do not see the reference count inside the installed Abseil library.
    return absl::Status(state_.code(), state_.message());
  }

 private:
  void Run() {
    for (bool last_round = false; !last_round;) {
      {
        const std::lock_guard lock(mutex_);
        last_round = stopping_;
      }
      Report(Round(last_round));
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, absl::ToChronoMilliseconds(options_.poll_interval), [this] { return stopping_; });
    }
    const std::lock_guard lock(mutex_);
    finished_ = true;
    changed_.notify_all();
  }

  absl::Status Round(bool last_round) {
    if (!connection_ || !connection_->ok()) {
      connection_.reset();
      ASSIGN_OR_RETURN(Connection opened, Connection::Open({.conninfo = options_.connection,
                                                            .application_name = "itld audit sealer",
                                                            .interrupt = &interrupt_}));
      connection_.emplace(std::move(opened));
    }
    const absl::Time now = clock_.Now();
    if (now >= next_partitions_) {
      // Months are made ahead, so that this may wait; sealing may not.
      absl::Status made = connection_->Execute("SELECT audit_create_partitions()").status();
      if (!connection_->ok()) return made;
      next_partitions_ = now + (made.ok() ? kPartitionInterval : kPartitionRetry);
    }
    while (true) {
      ASSIGN_OR_RETURN(const int64_t sealed, SealBatch(*connection_));
      // Under load there is always another row or two, which can wait for the next round.
      if (sealed == 0 || (sealed < kMostInBatch && !last_round)) break;
    }
    RETURN_IF_ERROR(ReadCounts());
    if (last_round || now >= next_record_) {
      agreement_ = Record(now);
      // While it cannot be written or does not agree, that is said again with every look.
      next_record_ = now + options_.record_interval;
    }
    return agreement_;
  }

  absl::Status ReadCounts() {
    static constexpr Statement kUnsealed = {"audit_unsealed_count", "SELECT count(*) FROM audit_unsealed"};
    ASSIGN_OR_RETURN(const Result unsealed, connection_->Execute(kUnsealed));
    ASSIGN_OR_RETURN(const int64_t count, unsealed.Value<int64_t>());
    unsealed_.Set(static_cast<double>(count));
    ASSIGN_OR_RETURN(end_of_chain_, LastSeal(*connection_));
    last_number_.Set(static_cast<double>(end_of_chain_.number));
    return absl::OkStatus();
  }

  // Compares the seal file's last line with the chain, then writes the end of the chain to it.
  absl::Status Record(absl::Time now) {
    const std::optional<Seal>& recorded = file_->last();
    if (recorded) RETURN_IF_ERROR(CheckSeal(*connection_, *recorded, options_.authority));
    if (end_of_chain_.number == (recorded ? recorded->number : 0)) return absl::OkStatus();
    return file_->Append(end_of_chain_, now);
  }

  void Report(const absl::Status& status) {
    if (!status.ok()) failures_.Add();
    const std::lock_guard lock(mutex_);
    if (status == state_) return;
    state_ = status;
    if (status.ok()) {
      log_.Info("AUDIT_SEALING", "committed audit rows are chained", {{"number", end_of_chain_.number}});
    } else if (absl::IsDataLoss(status)) {
      log_.Error("AUDIT_CHAIN_BROKEN", StatusMessage(status));
    } else {
      log_.Warning("AUDIT_SEALING_FAILED", "audit rows wait to be chained", {{"reason", status}});
    }
  }

  const AuditSealerOptions options_;
  const Clock& clock_;
  Log& log_;
  Gauge& unsealed_;
  Gauge& last_number_;
  Counter& failures_;

  // Of the sealer's thread.
  Interrupt interrupt_;
  std::optional<SealFile> file_;
  std::optional<Connection> connection_;
  absl::Time next_partitions_ = absl::InfinitePast();
  absl::Time next_record_ = absl::InfinitePast();
  Seal end_of_chain_;
  absl::Status agreement_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  absl::Status state_ = absl::UnavailableError("audit rows have not been chained yet");
  bool stopping_ = false;
  bool finished_ = false;
  std::thread thread_;
};

AuditSealer::AuditSealer(AuditSealerOptions options, const Clock& clock, Log& log, Metrics& metrics)
    : impl_(std::make_unique<Impl>(std::move(options), clock, log, metrics)) {}
AuditSealer::~AuditSealer() = default;
absl::Status AuditSealer::Start() { return impl_->Start(); }
void AuditSealer::Stop() { impl_->Stop(); }
absl::Status AuditSealer::Ready() const { return impl_->Ready(); }

}  // namespace trustline
