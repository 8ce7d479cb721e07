#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "common/postgres/connection.h"
#include "common/postgres/interrupt.h"
#include "common/postgres/sql_error.h"
#include "common/service/audit.h"
#include "common/service/denial_aggregator.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr std::chrono::milliseconds kFirstRetry(100);
constexpr std::chrono::milliseconds kLongestRetry(2000);
// How often the clock is asked whether counted denials are due.
constexpr std::chrono::milliseconds kWindowCheck(1000);

// An event that PostgreSQL will refuse however often it is tried: bad data (class 22) or a violated constraint (23).
bool IsHopeless(const absl::Status& status) {
  const std::string state = SqlStateOf(status);
  return state.starts_with("22") || state.starts_with("23") || (state.empty() && absl::IsInvalidArgument(status));
}

}  // namespace

class AuditQueue::Impl {
 public:
  Impl(AuditQueueOptions options, const Clock& clock, Log& log, Metrics& metrics)
      : options_(std::move(options)),
        clock_(clock),
        log_(log),
        lost_(metrics.GetCounter("trustline_audit_events_lost_total",
                                 "Audit events that could not be queued or inserted; they are in the log.")),
        waiting_gauge_(metrics.AddGaugeCallback("trustline_audit_events_waiting",
                                                "Audit events that wait for the database.", {},
                                                [this] { return static_cast<double>(waiting()); })),
        thread_([this] { Run(); }) {}

  ~Impl() { Stop(absl::ZeroDuration()); }

  void AppendDenial(AuditEvent event, std::string_view peer_address) {
    if (!event.occurred_at) event.occurred_at = clock_.Now();
    std::vector<AuditEvent> events;
    {
      std::lock_guard lock(mutex_);
      // After Stop nobody would take a count any more.
      if (denials_closed_) {
        events.push_back(std::move(event));
      } else {
        events = denials_.Add(std::move(event), peer_address);
      }
    }
    AppendAll(std::move(events));
  }

  void Append(AuditEvent event) {
    if (!event.occurred_at) event.occurred_at = clock_.Now();
    log_.Record(event.outcome == AuditOutcome::kDone ? LogLevel::kInfo : LogLevel::kWarning, "AUDIT_EVENT",
                fmt::format("{}: {}", event.action, AuditOutcomeText(event.outcome)),
                {{"actor", event.actor},
                 {"subject", event.subject},
                 {"cluster_id", event.cluster_id},
                 {"detail", AuditDetailJson(event)}});
    {
      std::lock_guard lock(mutex_);
      if (!stopping_ && events_.size() < options_.capacity) {
        events_.push_back(std::move(event));
        changed_.notify_all();
        return;
      }
    }
    lost_.Add();
    log_.Error("AUDIT_EVENT_LOST", "the queue of audit events is full or closed: this event stands in the log only",
               {{"actor", event.actor}, {"action", event.action}, {"subject", event.subject}});
  }

  void Stop(absl::Duration patience) {
    std::lock_guard stop_lock(stop_mutex_);
    if (!thread_.joinable()) return;
    std::vector<AuditEvent> counts;
    {
      std::lock_guard lock(mutex_);
      denials_closed_ = true;
      counts = denials_.TakeAll();
    }
    AppendAll(std::move(counts));
    {
      std::unique_lock lock(mutex_);
      stopping_ = true;
      changed_.notify_all();
      changed_.wait_for(lock, absl::ToChronoMilliseconds(patience), [this] { return events_.empty(); });
      given_up_ = true;
      changed_.notify_all();
    }
    interrupt_.Raise();
    thread_.join();
    if (!events_.empty()) {
      lost_.Add(events_.size());
      log_.Error("AUDIT_EVENTS_LEFT", "audit events could not be inserted before the end: they stand in the log only",
                 {{"count", events_.size()}});
    }
  }

  size_t waiting() const {
    std::lock_guard lock(mutex_);
    return events_.size();
  }

 private:
  void AppendAll(std::vector<AuditEvent> events) {
    for (AuditEvent& event : events) Append(std::move(event));
  }

  // Returns when there is something to insert or a reason to end; meanwhile appends counts that are due.
  void WaitForWork(std::unique_lock<std::mutex>& lock) {
    const auto has_work = [this] { return !events_.empty() || given_up_ || stopping_; };
    while (true) {
      if (std::vector<AuditEvent> counts = denials_.TakeIfOver(clock_.Now()); !counts.empty()) {
        lock.unlock();
        AppendAll(std::move(counts));
        lock.lock();
      }
      if (has_work()) return;
      if (denials_.empty()) {
        changed_.wait(lock);
      } else {
        changed_.wait_for(lock, kWindowCheck);
      }
    }
  }

  void Run() {
    std::optional<Connection> connection;
    std::chrono::milliseconds retry = kFirstRetry;
    std::unique_lock lock(mutex_);
    while (true) {
      WaitForWork(lock);
      if (given_up_ || (stopping_ && events_.empty())) return;
      const AuditEvent event = events_.front();
      lock.unlock();
      const absl::Status status = Insert(connection, event);
      const bool hopeless = !status.ok() && IsHopeless(status);
      if (hopeless) {
        lost_.Add();
        log_.Error("AUDIT_EVENT_REFUSED", "the database refuses an audit event: it stands in the log only",
                   {{"error", status}, {"actor", event.actor}, {"action", event.action}});
      } else if (!status.ok()) {
        connection.reset();
        log_.Warning("AUDIT_DATABASE_AWAY", "audit events wait until the database answers", {{"error", status}});
      }
      lock.lock();
      if (status.ok() || hopeless) {
        events_.pop_front();
        changed_.notify_all();
        retry = kFirstRetry;
      } else {
        changed_.wait_for(lock, retry, [this] { return given_up_; });
        retry = std::min(retry * 2, kLongestRetry);
      }
    }
  }

  // An insert whose answer was lost is repeated: an event twice is better than none.
  absl::Status Insert(std::optional<Connection>& connection, const AuditEvent& event) {
    if (!connection) {
      ASSIGN_OR_RETURN(connection, Connection::Open({.conninfo = options_.connection,
                                                     .application_name = options_.application_name,
                                                     .connect_timeout = absl::Seconds(2),
                                                     .query_timeout = absl::Seconds(5),
                                                     .interrupt = &interrupt_}));
    }
    return AppendAudit(*connection, event);
  }

  const AuditQueueOptions options_;
  const Clock& clock_;
  Log& log_;
  Counter& lost_;
  Interrupt interrupt_;
  mutable std::mutex mutex_;
  std::mutex stop_mutex_;
  std::condition_variable changed_;
  std::deque<AuditEvent> events_;
  DenialAggregator denials_;
  bool denials_closed_ = false;
  bool stopping_ = false;
  bool given_up_ = false;
  Metrics::Registration waiting_gauge_;
  std::thread thread_;
};

AuditQueue::AuditQueue(AuditQueueOptions options, const Clock& clock, Log& log, Metrics& metrics)
    : impl_(std::make_unique<Impl>(std::move(options), clock, log, metrics)) {}
AuditQueue::~AuditQueue() = default;
void AuditQueue::Append(AuditEvent event) { impl_->Append(std::move(event)); }
void AuditQueue::AppendDenial(AuditEvent event, std::string_view peer_address) {
  impl_->AppendDenial(std::move(event), peer_address);
}
void AuditQueue::Stop(absl::Duration patience) { impl_->Stop(patience); }
size_t AuditQueue::waiting() const { return impl_->waiting(); }

}  // namespace trustline
