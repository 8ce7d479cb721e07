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
  watcher_ = std::thread([this] { WatchLoop(); });
}

void TrustFollower::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  interrupt_.Raise();
  wake_.notify_all();
  if (reader_.joinable()) reader_.join();
  if (watcher_.joinable()) watcher_.join();
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

std::future<absl::Status> TrustFollower::Confirm(const FollowedCluster& cluster) {
  auto asked = std::make_shared<std::promise<absl::Status>>();
  std::future<absl::Status> answer = asked->get_future();
  Confirm(cluster, [asked](absl::Status status) { asked->set_value(std::move(status)); });
  return answer;
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
      } else if (absl::IsNotFound(status)) {
        log_.Warning("TVS_CLUSTER_MISSING", "a listener's cluster does not exist", {{"reason", status}});
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
  const std::vector<Waiting> left = std::exchange(waiting_, {});
  lock.unlock();
  for (const Waiting& one : left) one.done(absl::CancelledError("this node is stopping"));
}

absl::Status TrustFollower::Read() {
  for (const auto& cluster : clusters_) cluster->last_read_ = absl::OkStatus();
  absl::Status status = EnsureConnected();
  if (status.ok()) status = ReadClusters();
  // An error that belongs to no single cluster is everybody's.
  if (!status.ok()) {
    connection_.reset();  // its query timeout may be the long one
    for (const auto& cluster : clusters_) cluster->last_read_.Update(status);
    return status;
  }
  for (const auto& cluster : clusters_) status.Update(cluster->last_read_);
  return status;
}

absl::Status TrustFollower::EnsureConnected() {
  if (connection_ && connection_->ok()) return absl::OkStatus();
  connection_.reset();
  // Questions that come while the database is away are answered at once instead of each trying to connect.
  if (steady_clock::now() < next_attempt_) return Unavailable("the database does not answer; next attempt in a moment");
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
  return absl::OkStatus();
}

// Each cluster's own error goes to its last_read_.
absl::Status TrustFollower::ReadClusters() {
  steady_clock::time_point asked = steady_clock::now();
  ASSIGN_OR_RETURN(auto commits, ReadClusterCommits(*connection_));
  for (const auto& cluster : clusters_) {
    // One cluster's large change must not make the others look old.
    if (steady_clock::now() - asked > options_.poll_interval) {
      asked = steady_clock::now();
      ASSIGN_OR_RETURN(commits, ReadClusterCommits(*connection_));
    }
    const auto commit = commits.find(cluster->name());
    if (commit == commits.end()) {
      cluster->last_read_ = NotFound(
          "cluster '{0}' does not exist; make it with 'trustctl cluster add {0}', or remove its listener from the "
          "configuration",
          cluster->name());
      continue;
    }
    const steady_clock::time_point began = steady_clock::now();
    const int64_t held = cluster->Snapshot()->commit();
    const bool changed = !cluster->loaded() || held != commit->second.commit || cluster->read_anew_.load();
    if (changed) {
      cluster->last_read_ = Annotate(ReadCluster(*cluster, commit->second), "cluster " + cluster->name());
      if (!cluster->last_read_.ok()) {
        // What is wrong with one cluster's content does not concern the others.
        if (!connection_->ok()) return cluster->last_read_;
        RETURN_IF_ERROR(connection_->SetQueryTimeout(kPollTimeout));
        continue;
      }
    }
    cluster->confirmed_.store(SteadyNanoseconds(changed ? began : asked), std::memory_order_release);
  }
  return absl::OkStatus();
}

absl::Status TrustFollower::ReadCluster(FollowedCluster& cluster, const ClusterCommit& commit) {
  RETURN_IF_ERROR(connection_->SetQueryTimeout(kLoadTimeout));
  std::unique_ptr<const TrustSnapshot> next;
  {
    const auto snapshot = cluster.Snapshot();
    // A smaller number is another database, or one that was restored.
    const bool from_nothing =
        cluster.read_anew_.exchange(false) || !cluster.loaded() || snapshot->commit() > commit.commit;
    absl::StatusOr<std::unique_ptr<const TrustSnapshot>> read =
        ReadSnapshot(*connection_, commit.cluster_id, from_nothing ? nullptr : &*snapshot);
    if (!read.ok()) {
      if (from_nothing) cluster.read_anew_ = true;
      return read.status();
    }
    next = *std::move(read);
  }
  log_.Debug("TVS_SNAPSHOT", "the trust store has changed",
             {{"cluster", cluster.name()}, {"commit", next->commit()}, {"certificates", next->certificate_count()}});
  cluster.snapshot_.Publish(std::move(next));
  return connection_->SetQueryTimeout(kPollTimeout);
}

void TrustFollower::WatchLoop() {
  std::optional<Connection> connection;
  bool listening = false;
  milliseconds retry_delay = kFirstRetry;
  while (!interrupt_.raised()) {
    const absl::Status status = Watch(connection, listening);
    if (status.ok()) {
      retry_delay = kFirstRetry;
      continue;
    }
    connection.reset();
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, retry_delay, [this] { return stopping_; });
    retry_delay = std::min(retry_delay * 2, kLongestRetry);
  }
}

// Compares digests when that is due, else waits for a notification.
absl::Status TrustFollower::Watch(std::optional<Connection>& connection, bool& listening) {
  if (!connection) {
    ASSIGN_OR_RETURN(connection, Connection::Open({.conninfo = options_.connection,
                                                   .application_name = options_.application_name + " watch",
                                                   .connect_timeout = kConnectTimeout,
                                                   .query_timeout = kLoadTimeout,
                                                   .interrupt = &interrupt_}));
    // A replica refuses to listen; there the poll alone brings changes.
    listening = connection->Listen("trust_change").ok();
    if (!connection->ok()) return Unavailable("the connection was lost");
  }
  const steady_clock::time_point now = steady_clock::now();
  if (now >= next_digest_) {
    next_digest_ = now + options_.digest_interval;
    return CompareDigests(*connection);
  }
  const steady_clock::duration until_digest = next_digest_ - now;
  if (!listening) {
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, until_digest, [this] { return stopping_; });
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const std::optional<Notification> notification,
                   connection->WaitForNotification(absl::FromChrono(until_digest)));
  if (notification) Wake();
  return absl::OkStatus();
}

absl::Status TrustFollower::CompareDigests(Connection& connection) {
  ASSIGN_OR_RETURN(const auto commits, ReadClusterCommits(connection));
  for (const auto& cluster : clusters_) {
    const auto commit = commits.find(cluster->name());
    if (commit == commits.end() || !cluster->loaded()) continue;
    ASSIGN_OR_RETURN(const DatabaseDigest expected, ReadDigest(connection, commit->second.cluster_id));
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
    cluster->read_anew_ = true;
    Wake();
  }
  return absl::OkStatus();
}

}  // namespace trustline
