// Makes trust lists of what a cluster has, and publishes them: the one way to a new generation (docs/ARCHITECTURE.md,
// trust lists).
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/postgres/pool.h"
#include "common/service/clock.h"
#include "common/service/key_folder.h"
#include "common/service/log.h"
#include "common/service/metrics.h"
#include "itl/list/change_guard.h"
#include "itl/list/list_content.h"
#include "itl/list/list_order.h"
#include "itl/list/list_store.h"

namespace trustline {

struct ListPublisherOptions {
  // How long a trust store must have been left alone before its change becomes a candidate.
  absl::Duration quiet_time = absl::Seconds(1);
  absl::Duration interval = absl::Milliseconds(200);
  // How often lists that wait for TVS nodes are tried again.
  absl::Duration retry = absl::Seconds(2);
  // And refused ones, whose reason may have gone without a change of the trust store: a key that is back.
  absl::Duration refused_retry = absl::Minutes(1);
  // How often an administrator is reminded of what must not stay as it is.
  absl::Duration nag = absl::Hours(1);
  // Told after lists were published, or found to say what they should; in whatever thread did it. May be empty.
  std::function<void(int32_t cluster_id, const std::string& cluster)> on_compared;
  // Sees every publication before it is committed; not owned. What it refuses is an error for an administrator, and
  // waits for one where it would have gone out by itself. May be null.
  ChangeGuard* guard = nullptr;
};

// Whether all TVS nodes answer for a signer (NodeVouching::Check).
using VouchingCheck =
    std::function<absl::Status(const std::string& cluster, const Certificate& signer, const std::vector<std::string>&)>;

// Thread-safe; a thread of its own follows the trust stores. Of several itld one publishes a cluster's lists at a time.
// The references must outlive it. Metrics: trustline_trust_list_generations_total{kind},
// trustline_trust_list_candidates{cluster,state}, trustline_trust_list_blank{cluster}.
class ListPublisher {
 public:
  ListPublisher(ListPublisherOptions options, Pool& pool, KeyFolder& keys, VouchingCheck vouching,
                std::string own_identity, const Clock& clock, Log& log, Metrics& metrics);
  ~ListPublisher();

  void Start();
  void Stop();

  // Compares each list of the filter with what it should say. An error of one list is its outcome; the status is that
  // of database and keys.
  absl::StatusOr<PublishResult> Publish(int32_t cluster_id, const std::string& cluster, const PublishOrder& order);

  // A change of how lists are made: `change` runs in the transaction that publishes what follows from it, with the
  // policy locked. A list that cannot be published then, or has other changes that wait for an administrator, undoes
  // the change and is the error.
  using Change = std::function<absl::Status(Connection& transaction, ListStore& store, const StoredPolicy& before)>;
  absl::StatusOr<PublishResult> ChangeAndPublish(int32_t cluster_id, const std::string& cluster,
                                                 const PublishOrder& order, const Change& change);

  // The current generations of the order's lists signed anew (ListRun::Resign); `change` runs in the same transaction.
  absl::StatusOr<PublishResult> Resign(int32_t cluster_id, const std::string& cluster, bool local,
                                       const PublishOrder& order, const Change& change);

  // A list that was signed elsewhere (ListRun::PublishSigned).
  absl::StatusOr<PublishResult> PublishSigned(int32_t cluster_id, const std::string& cluster, const ListForm& which,
                                              const std::string& file, PublishOrder order);

 private:
  struct Seen {
    int64_t commit = -1;
    absl::Time since;
    absl::Time next_try;
    absl::Time next_refused_try;
    std::string failure;  // that was told last
    absl::Time next_reminder;
  };
  void Follow();
  absl::Status LookOnce();
  struct Followed {
    int32_t cluster_id = 0;
    std::string cluster;
    int64_t trust_commit = 0;
    int64_t considered_commit = 0;
    bool blank = false;
    int64_t waits_for_approval = 0;
    int64_t waits_for_nodes = 0;
    int64_t refused = 0;
  };
  absl::StatusOr<std::vector<Followed>> ReadFollowed();
  void Remind(const Followed& followed);
  void TellOnce(std::string& last_failure, const absl::Status& status, std::string_view cluster);
  // Who would sign the lists of an order now, and which of them the TVS nodes answer for.
  absl::StatusOr<std::map<Sha256Digest, absl::Status>> AskNodes(int32_t cluster_id, const std::string& cluster,
                                                                const PublishOrder& order);
  // `work` in the transaction that has locked the policy.
  using Work = std::function<absl::StatusOr<PublishResult>(Connection& connection, const StoredPolicy& policy)>;
  absl::StatusOr<PublishResult> InTransaction(int32_t cluster_id, const std::string& cluster, const PublishOrder& order,
                                              const Work& work);
  absl::StatusOr<PublishResult> PublishAll(Connection& connection, int32_t cluster_id, const StoredPolicy& policy,
                                           const std::map<Sha256Digest, absl::Status>& vouched,
                                           const PublishOrder& order);
  static absl::StatusOr<PublishResult> FinishResigned(Connection& connection, int32_t cluster_id,
                                                      absl::StatusOr<PublishResult> result);
  void Report(int32_t cluster_id, const std::string& cluster, const PublishResult& result);

  const ListPublisherOptions options_;
  Pool& pool_;
  KeyFolder& keys_;
  const VouchingCheck vouching_;
  const std::string own_identity_;
  const Clock& clock_;
  Log& log_;
  Metrics& metrics_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::map<int32_t, Seen> seen_;  // of the thread alone
  std::thread thread_;
};

}  // namespace trustline
