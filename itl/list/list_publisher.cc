#include "itl/list/list_publisher.h"

#include <algorithm>
#include <set>
#include <utility>

#include "common/bytes/bytes.h"
#include "common/postgres/transaction.h"
#include "common/service/fail_point.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "itl/list/list_run.h"

namespace trustline {
namespace {

constexpr Statement kFollowed = {
    "followed_lists",
    "SELECT p.cluster_id, c.name, c.trust_commit, p.considered_commit, p.blank, count(*) FILTER (WHERE k.state = "
    "'approval'), count(*) FILTER (WHERE k.state = 'nodes'), count(*) FILTER (WHERE k.state = 'refused') FROM "
    "trust_list_policy p JOIN cluster c USING (cluster_id) LEFT JOIN trust_list_candidate k USING (cluster_id) GROUP "
    "BY "
    "p.cluster_id, c.name, c.trust_commit, p.considered_commit, p.blank ORDER BY p.cluster_id"};
// Who made a change of the trust store, for the record of what follows from it. It is among the latest events, or so
// long ago that nobody is waiting for it.
constexpr Statement kWhoChanged = {
    "who_changed_trust",
    "SELECT actor FROM (SELECT event_id, actor, detail FROM audit_event WHERE cluster_id = $1 AND outcome = 'done' "
    "ORDER "
    "BY event_id DESC LIMIT 1000) AS latest WHERE detail::jsonb->>'commit' = $2 ORDER BY event_id DESC LIMIT 1"};

constexpr char kGenerationsMetric[] = "trustline_trust_list_generations_total";
constexpr char kGenerationsHelp[] = "Generations of trust lists that were published";
constexpr char kCandidatesMetric[] = "trustline_trust_list_candidates";
constexpr char kCandidatesHelp[] = "Trust lists whose new content is not published";
constexpr char kBlankMetric[] = "trustline_trust_list_blank";
constexpr char kBlankHelp[] = "1 while a cluster's trust lists are blank";

// Of an order that is planned only: of one after which everything would wait nothing could be said of phones.
absl::Status CheckPublishesAny(const PublishResult& result, const ListFilter& approves) {
  const PublishedList* waits = nullptr;
  for (const PublishedList& list : result.lists) {
    if (list.outcome == ListOutcome::kPublished) return absl::OkStatus();
    const bool is_ordered = list.outcome != ListOutcome::kUnchanged && approves.Chooses(list.list.form);
    if (waits == nullptr && is_ordered) waits = &list;
  }
  if (waits == nullptr) return absl::OkStatus();
  return FailedPrecondition(
      "no list would be published, and phones would notice nothing: the {} would wait, because {}",
      ListText(waits->list.form), waits->list.candidate->reason);
}

}  // namespace

ListPublisher::ListPublisher(ListPublisherOptions options, Pool& pool, KeyFolder& keys, VouchingCheck vouching,
                             std::string own_identity, const Clock& clock, Log& log, Metrics& metrics)
    : options_(std::move(options)),
      pool_(pool),
      keys_(keys),
      vouching_(std::move(vouching)),
      own_identity_(std::move(own_identity)),
      clock_(clock),
      log_(log),
      metrics_(metrics) {}

ListPublisher::~ListPublisher() { Stop(); }

void ListPublisher::Start() {
  thread_ = std::thread([this] { Follow(); });
}

void ListPublisher::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void ListPublisher::Follow() {
  std::string last_failure;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    TellOnce(last_failure, LookOnce(), "all");
    lock.lock();
    changed_.wait_for(lock, absl::ToChronoMilliseconds(options_.interval), [this] { return stopping_; });
  }
}

absl::StatusOr<std::vector<ListPublisher::Followed>> ListPublisher::ReadFollowed() {
  ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
  ASSIGN_OR_RETURN(const Result result, lease->Execute(kFollowed));
  std::vector<Followed> all;
  for (const Row row : result) {
    Followed& one = all.emplace_back();
    RETURN_IF_ERROR(row.Scan(one.cluster_id, one.cluster, one.trust_commit, one.considered_commit, one.blank,
                             one.waits_for_approval, one.waits_for_nodes, one.refused));
  }
  return all;
}

absl::Status ListPublisher::LookOnce() {
  ASSIGN_OR_RETURN(const std::vector<Followed> all, ReadFollowed());
  for (const Followed& followed : all) {
    Remind(followed);
    Seen& seen = seen_[followed.cluster_id];
    const absl::Time now = clock_.Now();
    if (seen.commit != followed.trust_commit) {
      seen.commit = followed.trust_commit;
      seen.since = seen.next_try = now;
    }
    const bool has_changed = followed.trust_commit != followed.considered_commit;
    const bool is_quiet = now - seen.since >= options_.quiet_time;
    const bool retries = followed.waits_for_nodes > 0 || (followed.refused > 0 && now >= seen.next_refused_try);
    const bool is_due = now >= seen.next_try && (has_changed ? is_quiet : retries);
    if (!is_due) continue;
    seen.next_try = now + options_.retry;
    seen.next_refused_try = now + options_.refused_retry;
    PublishOrder order = {.filter = {},
                          .actor = own_identity_,
                          .reason = fmt::format("change {} of the trust store", followed.trust_commit),
                          .without_nodes = {}};
    {
      ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
      ASSIGN_OR_RETURN(
          const Result who,
          lease->Execute(kWhoChanged,
                         Parameters().Int64(followed.cluster_id).Text(std::to_string(followed.trust_commit))));
      if (!who.empty()) {
        ASSIGN_OR_RETURN(order.actor, who.Value<std::string>());
      }
    }
    TellOnce(seen.failure, Publish(followed.cluster_id, followed.cluster, order).status(), followed.cluster);
  }
  return absl::OkStatus();
}

// The same reason every other second would fill the log.
void ListPublisher::TellOnce(std::string& last_failure, const absl::Status& status, std::string_view cluster) {
  const std::string failure = status.ok() ? "" : std::string(StatusMessage(status));
  if (failure == last_failure) return;
  if (!failure.empty()) {
    log_.Warning("ITL_FOLLOW_FAILED", "trust lists do not follow the trust store; it is tried again",
                 {{"cluster", cluster}, {"reason", status}});
  } else {
    log_.Info("ITL_FOLLOW_RECOVERED", "trust lists follow the trust store again", {{"cluster", cluster}});
  }
  last_failure = failure;
}

void ListPublisher::Remind(const Followed& followed) {
  const auto candidates = [&](const char* state, int64_t count) {
    metrics_.GetGauge(kCandidatesMetric, kCandidatesHelp, {{"cluster", followed.cluster}, {"state", state}})
        .Set(static_cast<double>(count));
  };
  candidates("approval", followed.waits_for_approval);
  candidates("nodes", followed.waits_for_nodes);
  candidates("refused", followed.refused);
  metrics_.GetGauge(kBlankMetric, kBlankHelp, {{"cluster", followed.cluster}}).Set(followed.blank ? 1 : 0);

  Seen& seen = seen_[followed.cluster_id];
  const absl::Time now = clock_.Now();
  if (now < seen.next_reminder) return;
  seen.next_reminder = now + options_.nag;
  if (followed.blank) {
    log_.Warning("ITL_BLANK",
                 "the trust lists are blank, so that phones trust nobody's HTTPS and take any "
                 "configuration: take it back with trustctl itl blank off",
                 {{"cluster", followed.cluster}});
  }
  const int64_t waiting = followed.waits_for_approval + followed.waits_for_nodes + followed.refused;
  if (waiting > 0) {
    log_.Warning("ITL_CANDIDATES", "trust lists have changes that are not published: trustctl itl list says why",
                 {{"cluster", followed.cluster},
                  {"wait_for_approval", followed.waits_for_approval},
                  {"wait_for_nodes", followed.waits_for_nodes},
                  {"refused", followed.refused}});
  }
}

absl::StatusOr<std::map<Sha256Digest, absl::Status>> ListPublisher::AskNodes(int32_t cluster_id,
                                                                             const std::string& cluster,
                                                                             const PublishOrder& order) {
  std::map<Sha256Digest, Certificate> signers;
  {
    ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
    ListStore store(*lease, cluster_id);
    ASSIGN_OR_RETURN(const std::vector<StoredSigner> stored, store.Signers());
    // A device's own list may not be there yet.
    ListFilter filter = order.filter;
    filter.device.reset();
    ASSIGN_OR_RETURN(const std::vector<StoredList> lists, store.Lists(filter));
    std::set<std::string> servers = {""};  // whose signers are wanted; "": ITLRecovery
    for (const StoredList& list : lists) {
      if (list.form.local_signer || order.to_local_signer) servers.insert(list.form.tftp_server);
    }
    for (const StoredSigner& signer : stored) {
      if (servers.contains(signer.tftp_server)) signers.emplace(signer.certificate.sha256(), signer.certificate);
    }
  }
  if (order.signed_by) signers.emplace(order.signed_by->sha256(), *order.signed_by);
  std::map<Sha256Digest, absl::Status> answers;
  for (const auto& [sha256, certificate] : signers) {
    absl::Status answer = vouching_(cluster, certificate, order.without_nodes);
    if (absl::IsNotFound(answer)) return answer;  // a name in without_nodes
    answers.emplace(sha256, std::move(answer));
  }
  return answers;
}

absl::StatusOr<PublishResult> ListPublisher::InTransaction(int32_t cluster_id, const std::string& cluster,
                                                           const PublishOrder& order, const Work& work) {
  PublishResult result;
  const GuardedChange change = {.cluster_id = cluster_id,
                                .actor = order.actor,
                                .action = order.action,
                                .subject = fmt::format("trust lists of {}", cluster),
                                .reason = order.reason,
                                .caution = order.caution,
                                .away_nodes = order.without_nodes,
                                .report = order.report,
                                .unproven = order.unproven,
                                // What is refused and may wait does so.
                                .is_retried = order.is_retried || (!order.approved && !order.must_publish)};
  const absl::Status status = RunGuarded(pool_, options_.guard, change, [&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(const std::optional<StoredPolicy> policy, ListStore(connection, cluster_id).LockPolicy());
    if (!policy) {
      return FailedPrecondition(
          "the cluster {} has no trust lists: `trustctl itl server add NAME --host HOST` makes the first", cluster);
    }
    ASSIGN_OR_RETURN(result, work(connection, *policy));
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(status);
  if (order.caution.plan) return result;
  FailPoint("published");
  Report(cluster_id, cluster, result);
  return result;
}

absl::StatusOr<PublishResult> ListPublisher::Publish(int32_t cluster_id, const std::string& cluster,
                                                     const PublishOrder& order) {
  ASSIGN_OR_RETURN(const auto vouched, AskNodes(cluster_id, cluster, order));
  const auto publish = [&](const PublishOrder& how) {
    return InTransaction(cluster_id, cluster, how,
                         [&](Connection& connection, const StoredPolicy& policy) -> absl::StatusOr<PublishResult> {
                           ASSIGN_OR_RETURN(PublishResult published,
                                            PublishAll(connection, cluster_id, policy, vouched, how));
                           if (how.caution.plan) RETURN_IF_ERROR(CheckPublishesAny(published, how.approves));
                           return published;
                         });
  };
  absl::StatusOr<PublishResult> result = publish(order);
  if (!IsPreFlightRefusal(result.status()) || order.approved || order.must_publish) return result;
  PublishOrder held = order;
  held.hold = std::string(StatusMessage(result.status()));
  return publish(held);
}

absl::StatusOr<PublishResult> ListPublisher::PublishAll(Connection& connection, int32_t cluster_id,
                                                        const StoredPolicy& policy,
                                                        const std::map<Sha256Digest, absl::Status>& vouched,
                                                        const PublishOrder& order) {
  ASSIGN_OR_RETURN(PublishResult result,
                   ListRun(connection, cluster_id, keys_, vouched, order, clock_.Now()).Publish(policy.policy));
  ListStore store(connection, cluster_id);
  const bool has_published = std::any_of(result.lists.begin(), result.lists.end(), [](const PublishedList& list) {
    return list.outcome == ListOutcome::kPublished;
  });
  if (has_published) {
    // What waited for it to be published is looked at again.
    ASSIGN_OR_RETURN(const bool waits, store.HasCandidates());
    if (waits) {
      RETURN_IF_ERROR(store.MarkConsidered(-1));
      return result;
    }
  }
  // With part of the lists alone the change is not done with.
  if (order.filter.empty()) RETURN_IF_ERROR(store.MarkConsidered(policy.trust_commit));
  return result;
}

absl::StatusOr<PublishResult> ListPublisher::ChangeAndPublish(int32_t cluster_id, const std::string& cluster,
                                                              const PublishOrder& order, const Change& change) {
  ASSIGN_OR_RETURN(const auto vouched, AskNodes(cluster_id, cluster, order));
  return InTransaction(
      cluster_id, cluster, order,
      [&](Connection& connection, const StoredPolicy& before) -> absl::StatusOr<PublishResult> {
        ListStore store(connection, cluster_id);
        RETURN_IF_ERROR(
            ListRun(connection, cluster_id, keys_, vouched, order, clock_.Now()).CheckNothingWaits(before.policy));
        RETURN_IF_ERROR(change(connection, store, before));
        ASSIGN_OR_RETURN(const std::optional<StoredPolicy> policy, store.ReadPolicy());
        if (!policy) return Internal("the policy of cluster {} has gone", cluster);
        return PublishAll(connection, cluster_id, *policy, vouched, order);
      });
}

absl::StatusOr<PublishResult> ListPublisher::PublishSigned(int32_t cluster_id, const std::string& cluster,
                                                           const ListForm& which, const std::string& file,
                                                           PublishOrder order) {
  ASSIGN_OR_RETURN(const TrustList read, DecodeTrustList(AsBytes(file)));
  ASSIGN_OR_RETURN(order.signed_by, VerifyTrustList(read));
  ASSIGN_OR_RETURN(const auto vouched, AskNodes(cluster_id, cluster, order));
  return InTransaction(cluster_id, cluster, order, [&](Connection& connection, const StoredPolicy& policy) {
    return FinishResigned(
        connection, cluster_id,
        ListRun(connection, cluster_id, keys_, vouched, order, clock_.Now()).PublishSigned(policy.policy, which, file));
  });
}

absl::StatusOr<PublishResult> ListPublisher::Resign(int32_t cluster_id, const std::string& cluster, bool local,
                                                    const PublishOrder& order, const Change& change) {
  ASSIGN_OR_RETURN(const auto vouched, AskNodes(cluster_id, cluster, order));
  return InTransaction(
      cluster_id, cluster, order,
      [&](Connection& connection, const StoredPolicy& policy) -> absl::StatusOr<PublishResult> {
        ListStore store(connection, cluster_id);
        RETURN_IF_ERROR(change(connection, store, policy));
        return FinishResigned(
            connection, cluster_id,
            ListRun(connection, cluster_id, keys_, vouched, order, clock_.Now()).Resign(policy.policy, local));
      });
}

absl::StatusOr<PublishResult> ListPublisher::FinishResigned(Connection& connection, int32_t cluster_id,
                                                            absl::StatusOr<PublishResult> result) {
  // What should be said besides is compared with the new generation now.
  if (result.ok()) RETURN_IF_ERROR(ListStore(connection, cluster_id).MarkConsidered(-1));
  return result;
}

void ListPublisher::Report(int32_t cluster_id, const std::string& cluster, const PublishResult& result) {
  bool is_unchanged = !result.lists.empty();
  bool has_published = false;
  bool has_news = false;
  for (const PublishedList& list : result.lists) {
    is_unchanged = is_unchanged && list.outcome == ListOutcome::kUnchanged;
    has_news = has_news || (list.outcome != ListOutcome::kUnchanged && list.is_news);
    const std::string text = ListText(list.list.form);
    if (list.outcome == ListOutcome::kPublished) {
      has_published = true;
      metrics_
          .GetCounter(kGenerationsMetric, kGenerationsHelp, {{"kind", std::string(ListKindName(list.list.form.kind))}})
          .Add();
      log_.Info("ITL_PUBLISHED", "a new generation of a trust list is published",
                {{"cluster", cluster},
                 {"list", text},
                 {"generation", list.list.current->number},
                 {"sha1", ToHex(list.list.current->sha1)},
                 {"records", list.list.current->records},
                 {"reason", list.list.current->reason}});
    } else if (list.outcome != ListOutcome::kUnchanged && list.is_news) {
      log_.Warning(list.outcome == ListOutcome::kWaits ? "ITL_CANDIDATE_WAITS" : "ITL_CANDIDATE_REFUSED",
                   "the new content of a trust list is not published",
                   {{"cluster", cluster},
                    {"list", text},
                    {"reason", list.list.candidate->reason},
                    {"changes", list.list.candidate->changes}});
    }
  }
  if (is_unchanged) {
    log_.Info("ITL_HASH_NOT_CHANGED", "ITL hash not changed",
              {{"cluster", cluster}, {"lists", static_cast<int64_t>(result.lists.size())}});
  }
  // Without a list that is left, one was taken away.
  if ((is_unchanged || has_published || result.lists.empty()) && options_.on_compared)
    options_.on_compared(cluster_id, cluster);
  // Lists that wait for a node are looked at every other second.
  if (!has_news) return;
  for (const std::string& warning : result.warnings) {
    log_.Warning("ITL_WARNING", warning, {{"cluster", cluster}});
  }
}

}  // namespace trustline
