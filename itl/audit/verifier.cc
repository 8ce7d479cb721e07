#include "itl/audit/verifier.h"

#include <limits>
#include <optional>
#include <utility>

#include "common/postgres/transaction.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "itl/audit/chain.h"
#include "itl/audit/checkpoint.h"

namespace trustline {
namespace {

constexpr size_t kMaxFindings = 100;

// How far a verification goes; unless told, over everything.
struct Extent {
  std::optional<int64_t> last_number;
  absl::Time before = absl::InfiniteFuture();
};

// One verification, in the order of its passes.
class Verification {
 public:
  Verification(Connection& connection, SealFileReader seal_file, const Certificate& authority, const Extent& extent,
               const VerifyProgress& progress)
      : connection_(connection),
        seal_file_(std::move(seal_file)),
        authority_(authority),
        extent_(extent),
        progress_(progress) {}

  absl::StatusOr<AuditVerification> Run() {
    RETURN_IF_ERROR(NextRecorded());
    RETURN_IF_ERROR(CheckCheckpoints());
    RETURN_IF_ERROR(CheckChain());
    if (!extent_.last_number) RETURN_IF_ERROR(CheckTail());
    RETURN_IF_ERROR(CheckEvents());
    RETURN_IF_ERROR(CheckQueue());
    if (findings_left_out_ > 0) report_.findings.push_back(fmt::format("and {} more", findings_left_out_));
    return std::move(report_);
  }

 private:
  template <typename... Args>
  void Find(fmt::format_string<Args...> format, Args&&... args) {
    if (report_.findings.size() < kMaxFindings) {
      report_.findings.push_back(fmt::format(format, std::forward<Args>(args)...));
    } else {
      ++findings_left_out_;
    }
  }

  // Moves to the next line of the seal file with a number greater than the one before.
  absl::Status NextRecorded() {
    const int64_t before = recorded_ ? recorded_->number : 0;
    while (true) {
      absl::StatusOr<std::optional<Seal>> next = seal_file_.Next();
      if (!next.ok()) {
        if (!absl::IsDataLoss(next.status())) return next.status();
        Find("{}", next.status().message());
        continue;
      }
      recorded_ = *std::move(next);
      if (!recorded_ || recorded_->number > before) return absl::OkStatus();
      Find("the seal file records number {} after number {}", recorded_->number, before);
    }
  }

  // What stands for retired rows. The chain begins at the newest, even a forged one, which is a finding of its own.
  absl::Status CheckCheckpoints() {
    ASSIGN_OR_RETURN(const std::vector<AuditCheckpoint> checkpoints, ReadCheckpoints(connection_));
    for (const AuditCheckpoint& checkpoint : checkpoints) {
      if (checkpoint.first_number != report_.last.number + 1) {
        Find("the audit checkpoint at number {} stands for the numbers from {} on, but the one before it ends at {}",
             checkpoint.seal.number, checkpoint.first_number, report_.last.number);
      }
      const absl::Status signature = CheckCheckpoint(checkpoint, authority_);
      if (signature.ok()) {
        report_.retired_rows += checkpoint.removed_rows;
      } else {
        Find("{}", StatusMessage(signature));
      }
      // Of retired rows the hash of a checkpoint's is known only.
      while (recorded_ && recorded_->number <= checkpoint.seal.number) {
        if (!checkpoint.StandsFor(*recorded_)) {
          Find("the audit checkpoint at number {} is not of the chain that the seal file recorded",
               checkpoint.seal.number);
        }
        RETURN_IF_ERROR(NextRecorded());
      }
      report_.last = checkpoint.seal;
      report_.retired_before = checkpoint.retired_before;
    }
    return CheckNothingIsLeft();
  }

  // Links that a checkpoint says were removed.
  absl::Status CheckNothingIsLeft() {
    static constexpr Statement kLeft = {"audit_verify_left", "SELECT count(*) FROM audit_seal WHERE number <= $1"};
    ASSIGN_OR_RETURN(const Result result, connection_.Execute(kLeft, Parameters().Int64(report_.last.number)));
    ASSIGN_OR_RETURN(const int64_t left, result.Value<int64_t>());
    if (left > 0) {
      Find("{} numbers of the chain are there that the audit checkpoint at number {} says were retired", left,
           report_.last.number);
    }
    return absl::OkStatus();
  }

  // Every link of the chain: its number, its row, its hash, and what the seal file recorded of it.
  absl::Status CheckChain() {
    static constexpr Statement kLinks = {
        "audit_verify_links",
        "SELECT s.number, s.event_id, s.at, s.hash, e.cluster_id, e.occurred_at, e.actor, e.action, e.subject, "
        "e.outcome, e.detail FROM audit_seal s LEFT JOIN LATERAL (SELECT * FROM audit_event "
        "WHERE event_id = s.event_id AND at = s.at LIMIT 1) AS e ON true "
        "WHERE s.number > $1 AND s.number <= $2 ORDER BY s.number LIMIT 1000"};
    const int64_t last_number = extent_.last_number.value_or(std::numeric_limits<int64_t>::max());
    while (true) {
      ASSIGN_OR_RETURN(const Result links,
                       connection_.Execute(kLinks, Parameters().Int64(report_.last.number).Int64(last_number)));
      if (links.empty()) return absl::OkStatus();
      for (const Row row : links) RETURN_IF_ERROR(CheckLink(row));
      RETURN_IF_ERROR(progress_(report_.events_checked));
    }
  }

  absl::Status CheckLink(const Row& row) {
    Seal link;
    AuditRow event;
    std::optional<int64_t> cluster_id;
    std::optional<absl::Time> occurred_at;
    std::optional<std::string> actor, action, subject, outcome, detail;
    RETURN_IF_ERROR(row.Scan(link.number, event.event_id, event.at, link.hash, cluster_id, occurred_at, actor, action,
                             subject, outcome, detail));
    const int64_t expected = report_.last.number + 1;
    if (link.number != expected) {
      Find("the numbers {} to {} are missing from the chain", expected, link.number - 1);
    }
    if (!cluster_id) {
      Find("the audit row with number {} (event {} of {}) was deleted", link.number, event.event_id,
           TimeText(event.at));
    } else {
      ++rows_of_links_;
      event.cluster_id = *cluster_id;
      event.occurred_at = occurred_at.value_or(absl::InfinitePast());
      event.actor = std::move(actor).value_or("");
      event.action = std::move(action).value_or("");
      event.subject = std::move(subject).value_or("");
      event.outcome = std::move(outcome).value_or("");
      event.detail = std::move(detail).value_or("");
      if (link.number == expected && ChainHash(report_.last.hash, link.number, event) != link.hash) {
        Find("the audit row with number {} (event {} of {}), or a hash beside it, was altered", link.number,
             event.event_id, TimeText(event.at));
      }
    }
    report_.last = link;
    ++report_.events_checked;

    while (recorded_ && recorded_->number < link.number) RETURN_IF_ERROR(NextRecorded());
    if (recorded_ && recorded_->number == link.number) {
      if (recorded_->hash != link.hash) {
        Find("the chain up to number {} is not the one that the seal file recorded: it was rewritten", link.number);
      }
      RETURN_IF_ERROR(NextRecorded());
    }
    return absl::OkStatus();
  }

  // Lines of the seal file that the chain does not reach.
  absl::Status CheckTail() {
    int64_t furthest = 0;
    while (recorded_) {
      furthest = recorded_->number;
      RETURN_IF_ERROR(NextRecorded());
    }
    if (furthest > report_.last.number) {
      Find("the seal file records number {}, but the chain ends at {}: its newest rows were cut off", furthest,
           report_.last.number);
    }
    return absl::OkStatus();
  }

  // Every row: it is in the chain or waits for it, and not both.
  absl::Status CheckEvents() {
    static constexpr Statement kEvents = {
        "audit_verify_events",
        "SELECT e.event_id, e.at, e.cluster_id, EXISTS (SELECT FROM audit_seal s WHERE s.event_id = e.event_id "
        "AND s.at = e.at), EXISTS (SELECT FROM audit_unsealed u WHERE u.event_id = e.event_id AND u.at = e.at) "
        "FROM audit_event e WHERE (e.event_id, e.at, e.cluster_id) > ($1, $2, $3) "
        "AND e.at < $4 ORDER BY e.event_id, e.at, e.cluster_id LIMIT 2000"};
    int64_t event_id = std::numeric_limits<int64_t>::min();
    absl::Time at = absl::UnixEpoch();
    int64_t cluster_id = 0;
    int64_t sealed_rows = 0;
    while (true) {
      ASSIGN_OR_RETURN(
          const Result events,
          connection_.Execute(kEvents, Parameters().Int64(event_id).Time(at).Int64(cluster_id).Time(extent_.before)));
      if (events.empty()) break;
      for (const Row row : events) {
        bool sealed;
        bool waiting;
        RETURN_IF_ERROR(row.Scan(event_id, at, cluster_id, sealed, waiting));
        sealed_rows += sealed;
        report_.events_not_yet_sealed += waiting && !sealed;
        if (sealed && waiting) {
          Find("the audit row of event {} is in the chain and waits for it too: the queue was forged", event_id);
        } else if (!sealed && !waiting) {
          Find(
              "the audit row of event {} of {} is outside of the chain: it was not inserted by the system, or its "
              "place "
              "in the queue was deleted",
              event_id, TimeText(at));
        }
      }
      RETURN_IF_ERROR(progress_(report_.events_checked));
    }
    if (sealed_rows > rows_of_links_) {
      Find("{} audit rows have the event number and time of another row: they were inserted",
           sealed_rows - rows_of_links_);
    }
    return absl::OkStatus();
  }

  // Places in the queue without a row.
  absl::Status CheckQueue() {
    static constexpr Statement kOrphans = {
        "audit_verify_queue",
        "SELECT count(*) FROM audit_unsealed u WHERE NOT EXISTS (SELECT FROM audit_event e "
        "WHERE e.event_id = u.event_id AND e.at = u.at) AND u.at < $1"};
    ASSIGN_OR_RETURN(const Result result, connection_.Execute(kOrphans, Parameters().Time(extent_.before)));
    ASSIGN_OR_RETURN(const int64_t orphans, result.Value<int64_t>());
    if (orphans > 0) {
      Find(
          "{} audit rows that waited for the chain do not exist: they were deleted before they were chained, or the "
          "queue was forged",
          orphans);
    }
    return absl::OkStatus();
  }

  Connection& connection_;
  SealFileReader seal_file_;
  const Certificate& authority_;
  const Extent extent_;
  const VerifyProgress& progress_;
  AuditVerification report_;
  std::optional<Seal> recorded_;  // the line of the seal file that the chain has not passed yet
  int64_t rows_of_links_ = 0;
  int64_t findings_left_out_ = 0;
};

}  // namespace

absl::StatusOr<AuditVerification> VerifyAuditChain(Connection& connection, const std::string& seal_file,
                                                   const Certificate& authority, const VerifyProgress& progress) {
  // The file is read up to its present end, and it records only what was committed before; so the state of the database
  // that is taken after this holds every line.
  ASSIGN_OR_RETURN(SealFileReader reader, SealFileReader::Open(seal_file));
  ASSIGN_OR_RETURN(Transaction transaction,
                   Transaction::Begin(connection, {.isolation = Isolation::kRepeatableRead, .read_only = true}));
  ASSIGN_OR_RETURN(AuditVerification report,
                   Verification(connection, std::move(reader), authority, {}, progress).Run());
  RETURN_IF_ERROR(transaction.Commit());
  return report;
}

absl::StatusOr<AuditVerification> VerifyAuditChainUpTo(Connection& connection, const std::string& seal_file,
                                                       const Certificate& authority, int64_t last_number,
                                                       absl::Time before, const VerifyProgress& progress) {
  ASSIGN_OR_RETURN(SealFileReader reader, SealFileReader::Open(seal_file));
  return Verification(connection, std::move(reader), authority, {last_number, before}, progress).Run();
}

}  // namespace trustline
