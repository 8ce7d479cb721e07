#include "tvs/trust_follower.h"

#include <algorithm>

#include "common/status/status.h"
#include "tvs/trust_reader.h"

namespace trustline {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// More than this many connections wait for the database only when it stands still; those beyond are refused at once.
constexpr size_t kMaxWaiting = 20'000;
constexpr absl::Duration kConnectTimeout = absl::Seconds(1);
// A poll that takes longer means a database that is as good as away.
constexpr absl::Duration kPollTimeout = absl::Seconds(1);
// For what reads a whole trust store.
constexpr absl::Duration kLoadTimeout = absl::Seconds(60);
constexpr milliseconds kFirstRetry{100};
constexpr milliseconds kLongestRetry{1'000};

int64_t SteadyNanoseconds(steady_clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

}  // namespace

FollowedCluster::FollowedCluster(std::string name)
    : name_(std::move(name)), snapshot_(std::make_unique<const TrustSnapshot>()) {}

std::chrono::nanoseconds FollowedCluster::Age() const {
  const int64_t confirmed = confirmed_.load(std::memory_order_acquire);
  if (confirmed == 0) return std::chrono::nanoseconds::max();
  return std::chrono::nanoseconds(SteadyNanoseconds(steady_clock::now()) - confirmed);
}

TrustFollower::TrustFollower(TrustFollowerOptions options, Log& log) : options_(std::move(options)), log_(log) {
  for (const std::string& cluster : options_.clusters) clusters_.push_back(std::make_unique<FollowedCluster>(cluster));
}

void TrustFollower::Start() {
  next_digest_ = steady_clock::now() + options_.digest_interval;
  reader_ = std::thread([this] { ReadLoop(); });
  listener_ = std::thread([this] { ListenLoop(); });
}

void TrustFollower::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  interrupt_.Raise();
  wake_.notify_all();
  if (reader_.joinable()) reader_.join();
  if (listener_.joinable()) listener_.join();
}

FollowedCluster* TrustFollower::Find(std::string_view cluster) const {
  const auto found = std::ranges::find_if(clusters_, [&](const auto& followed) { return followed->name() == cluster; });
  return found == clusters_.end() ? nullptr : found->get();
}

void TrustFollower::Confirm(const FollowedCluster& cluster, std::function<void(absl::Status)> done) {
  {
    const std::lock_guard lock(mutex_);
    if (!stopping_ && waiting_.size() < kMaxWaiting) {
      waiting_.push_back({&cluster, std::move(done)});
      woken_ = true;
      done = nullptr;
    }
  }
  if (done) {
    done(ResourceExhausted("{} questions wait for the database already", kMaxWaiting));
  } else {
    wake_.notify_all();
  }
}

absl::Status TrustFollower::LastStatus() const {
  const std::lock_guard lock(mutex_);
  return last_status_;
}

void TrustFollower::Wake() {
  {
    const std::lock_guard lock(mutex_);
    woken_ = true;
  }
  wake_.notify_all();
}

void TrustFollower::ReadLoop() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    woken_ = false;
    const std::vector<Waiting> asked = std::exchange(waiting_, {});
    lock.unlock();

    const absl::Status status = Read();

    lock.lock();
    if (status.ok() != last_status_.ok()) {
      if (status.ok()) {
        log_.Info("TVS_DATABASE_BACK", "the trust store is read again");
      } else if (!stopping_) {
        log_.Warning("TVS_DATABASE_AWAY",
                     "the trust store cannot be read; known certificates are answered from memory up to the age limit",
                     {{"reason", status}});
      }
    }
    last_status_ = status;
    lock.unlock();
    for (const Waiting& one : asked) one.done(one.cluster->last_read_);
    lock.lock();
    wake_.wait_for(lock, options_.poll_interval, [this] { return woken_ || stopping_; });
  }
  for (const Waiting& one : std::exchange(waiting_, {})) one.done(absl::CancelledError("this node is stopping"));
}

absl::Status TrustFollower::Read() {
  const steady_clock::time_point began = steady_clock::now();
  for (const auto& cluster : clusters_) cluster->last_read_ = absl::OkStatus();
  absl::Status status = ReadClusters(began);
  // An error that belongs to no single cluster is everybody's.
  if (!status.ok()) {
    for (const auto& cluster : clusters_) cluster->last_read_.Update(status);
    return status;
  }
  for (const auto& cluster : clusters_) status.Update(cluster->last_read_);
  return status;
}

// Each cluster's own error goes to its last_read_.
absl::Status TrustFollower::ReadClusters(steady_clock::time_point began) {
  if (connection_ && !connection_->ok()) connection_.reset();
  if (!connection_) {
    // Questions that come while the database is away are answered at once instead of each trying to connect.
    if (began < next_attempt_) return Unavailable("the database does not answer; next attempt in a moment");
    absl::StatusOr<Connection> opened = Connection::Open({.conninfo = options_.connection,
                                                          .application_name = options_.application_name,
                                                          .connect_timeout = kConnectTimeout,
                                                          .query_timeout = kPollTimeout,
                                                          .interrupt = &interrupt_});
    if (!opened.ok()) {
      retry_delay_ = std::clamp(retry_delay_ * 2, kFirstRetry, kLongestRetry);
      next_attempt_ = steady_clock::now() + retry_delay_;
      return opened.status();
    }
    retry_delay_ = milliseconds(0);
    connection_ = *std::move(opened);
  }
  ASSIGN_OR_RETURN(const auto commits, ReadClusterCommits(*connection_));
  bool all_read = true;
  for (const auto& cluster : clusters_) {
    const auto commit = commits.find(cluster->name());
    if (commit == commits.end()) {
      cluster->last_read_ = NotFound(
          "cluster '{0}' does not exist; make it with 'trustctl cluster add {0}', or remove its listener from the "
          "configuration",
          cluster->name());
      all_read = false;
      continue;
    }
    cluster_ids_[cluster->name()] = commit->second.cluster_id;
    cluster->last_read_ =
        Annotate(ReadCluster(*cluster, commit->second.cluster_id, commit->second.commit), "cluster " + cluster->name());
    if (!cluster->last_read_.ok()) {
      all_read = false;
      // What is wrong with one cluster's content does not concern the others.
      if (connection_->ok() && connection_->SetQueryTimeout(kPollTimeout).ok()) continue;
      connection_.reset();
      return cluster->last_read_;
    }
    cluster->confirmed_.store(SteadyNanoseconds(began), std::memory_order_release);
  }
  if (all_read && began >= next_digest_) {
    next_digest_ = began + options_.digest_interval;
    if (absl::Status status = CompareDigests(); !status.ok()) {
      connection_.reset();
      return status;
    }
  }
  return absl::OkStatus();
}

absl::Status TrustFollower::ReadCluster(FollowedCluster& cluster, int32_t cluster_id, int64_t commit) {
  std::unique_ptr<const TrustSnapshot> next;
  {
    const auto snapshot = cluster.Snapshot();
    if (cluster.loaded() && snapshot->commit() == commit) return absl::OkStatus();
    // A smaller number is another database, or one that was restored: nothing in memory counts any more.
    const bool from_nothing = !cluster.loaded() || snapshot->commit() > commit;
    RETURN_IF_ERROR(connection_->SetQueryTimeout(kLoadTimeout));
    ASSIGN_OR_RETURN(next, ReadSnapshot(*connection_, cluster_id, from_nothing ? nullptr : &*snapshot));
    RETURN_IF_ERROR(connection_->SetQueryTimeout(kPollTimeout));
  }
  log_.Debug("TVS_SNAPSHOT", "the trust store has changed",
             {{"cluster", cluster.name()}, {"commit", next->commit()}, {"certificates", next->certificate_count()}});
  cluster.snapshot_.Publish(std::move(next));
  return absl::OkStatus();
}

absl::Status TrustFollower::CompareDigests() {
  RETURN_IF_ERROR(connection_->SetQueryTimeout(kLoadTimeout));
  for (const auto& cluster : clusters_) {
    const int32_t cluster_id = cluster_ids_[cluster->name()];
    ASSIGN_OR_RETURN(const DatabaseDigest expected, ReadDigest(*connection_, cluster_id));
    TrustSnapshot::Digest held;
    {
      const auto snapshot = cluster->Snapshot();
      if (snapshot->commit() != expected.commit) continue;  // changed meanwhile; the next comparison will see
      held = snapshot->ComputeDigest();
    }
    if (held == expected.digest) continue;
    cluster->digest_mismatches_.fetch_add(1, std::memory_order_relaxed);
    log_.Error(
        "TVS_DIGEST_MISMATCH",
        "what this node answers from differs from the database and is read anew; was the database changed by hand?",
        {{"cluster", cluster->name()},
         {"commit", expected.commit},
         {"entries_in_database", expected.digest.entries},
         {"entries_in_memory", held.entries}});
    ASSIGN_OR_RETURN(std::unique_ptr<const TrustSnapshot> next, ReadSnapshot(*connection_, cluster_id, nullptr));
    cluster->snapshot_.Publish(std::move(next));
  }
  return connection_->SetQueryTimeout(kPollTimeout);
}

void TrustFollower::ListenLoop() {
  std::optional<Connection> connection;
  milliseconds retry_delay = kFirstRetry;
  while (!interrupt_.raised()) {
    absl::Status status;
    if (!connection) {
      absl::StatusOr<Connection> opened = Connection::Open({.conninfo = options_.connection,
                                                            .application_name = options_.application_name + " listen",
                                                            .connect_timeout = kConnectTimeout,
                                                            .interrupt = &interrupt_});
      status = opened.status();
      if (opened.ok()) {
        connection = *std::move(opened);
        status = connection->Listen("trust_change");
      }
    }
    if (status.ok()) {
      retry_delay = kFirstRetry;
      const absl::StatusOr<std::optional<Notification>> notification =
          connection->WaitForNotification(absl::Seconds(60));
      status = notification.status();
      if (status.ok() && *notification) Wake();
    }
    if (!status.ok()) {
      connection.reset();
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, retry_delay, [this] { return stopping_; });
      retry_delay = std::min(retry_delay * 2, kLongestRetry);
    }
  }
}

}  // namespace trustline
