// Keeps snapshots of the followed clusters as fresh as the database, and knows how fresh that is.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/postgres/connection.h"
#include "common/postgres/interrupt.h"
#include "common/service/log.h"
#include "tvs/published.h"
#include "tvs/trust_reader.h"
#include "tvs/trust_snapshot.h"

namespace trustline {

// One cluster as this node knows it. Reading is lock-free.
class FollowedCluster {
 public:
  explicit FollowedCluster(std::string name);

  const std::string& name() const { return name_; }
  Published<TrustSnapshot>::View Snapshot() const { return Published<TrustSnapshot>::View(snapshot_); }

  // How long ago the database was last known to have nothing newer; the maximum before the first time.
  std::chrono::nanoseconds Age() const;
  bool loaded() const { return confirmed_.load(std::memory_order_acquire) != 0; }

  uint64_t digest_mismatches() const { return digest_mismatches_.load(std::memory_order_relaxed); }

 private:
  friend class TrustFollower;
  const std::string name_;
  Published<TrustSnapshot> snapshot_;
  std::atomic<int64_t> confirmed_ = 0;  // steady clock, nanoseconds; 0: never
  std::atomic<uint64_t> digest_mismatches_ = 0;
  std::atomic<bool> read_anew_ = false;  // the digest differed: nothing in memory counts
  absl::Status last_read_;               // of the reading thread
};

struct TrustFollowerOptions {
  std::string connection;  // libpq's connection string of a role that may read the trust store; a replica will do
  std::string application_name;
  std::vector<std::string> clusters;  // at least one, each once
  std::chrono::milliseconds poll_interval{300};
  std::chrono::milliseconds digest_interval{60'000};
};

// A thread reads what is greater than the last commit at each notification, at each poll interval and when a look-up
// missed. Another, with a connection of its own, waits for notifications, which only hasten the reading (a replica has
// none), and compares digests.
class TrustFollower {
 public:
  TrustFollower(TrustFollowerOptions options, Log& log);
  ~TrustFollower() { Stop(); }

  void Start();
  // Ends every Confirm() that waits with Cancelled.
  void Stop();

  // Null for a cluster that is not followed. Clusters live as long as the follower.
  FollowedCluster* Find(std::string_view cluster) const;
  const std::vector<std::unique_ptr<FollowedCluster>>& clusters() const { return clusters_; }

  // Calls `done` when the database was asked after this call, in the follower's thread: OK when the cluster's snapshot
  // is now at least as new as this call. All who wait share one question to the database. ResourceExhausted, at once,
  // when too many wait.
  void Confirm(const FollowedCluster& cluster, std::function<void(absl::Status)> done);
  // The same for who can wait, but not for ever.
  std::future<absl::Status> Confirm(const FollowedCluster& cluster);

  // The last error of reading any cluster, OK when the last reading succeeded.
  absl::Status LastStatus() const;

 private:
  void ReadLoop();
  absl::Status Read();
  absl::Status EnsureConnected();
  absl::Status ReadClusters();
  absl::Status ReadCluster(FollowedCluster& cluster, const ClusterCommit& commit);
  void WatchLoop();
  absl::Status Watch(std::optional<Connection>& connection, bool& listening);
  absl::Status CompareDigests(Connection& connection);
  void Wake();

  const TrustFollowerOptions options_;
  Log& log_;
  std::vector<std::unique_ptr<FollowedCluster>> clusters_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool woken_ = false;
  bool stopping_ = false;
  struct Waiting {
    const FollowedCluster* cluster;
    std::function<void(absl::Status)> done;
  };
  std::vector<Waiting> waiting_;
  absl::Status last_status_;

  Interrupt interrupt_;
  std::optional<Connection> connection_;  // of the reading thread
  std::chrono::steady_clock::time_point next_attempt_{};
  std::chrono::milliseconds retry_delay_{0};
  std::chrono::steady_clock::time_point next_digest_{};  // of the watching thread
  std::thread reader_;
  std::thread watcher_;
};

}  // namespace trustline
