#include "itl/phone/phone_upkeep.h"

#include <array>
#include <map>
#include <string>
#include <vector>

#include "common/postgres/transaction.h"
#include "common/status/status.h"
#include "itl/phone/claim_store.h"
#include "itl/phone/holding_view.h"
#include "itl/phone/phone_messages.h"
#include "itl/phone/phone_reader.h"

namespace trustline {
namespace {

constexpr absl::Duration kOldInterval = absl::Hours(1);
constexpr TransactionOptions kOneState = {.isolation = Isolation::kRepeatableRead, .read_only = true};

constexpr Statement kFold = {
    "phone_counts_fold",
    "WITH gone AS (DELETE FROM phone_count_change RETURNING cluster_id, dimension, value, holding_id, phones) INSERT "
    "INTO phone_count AS c (cluster_id, dimension, value, holding_id, phones) SELECT cluster_id, dimension, value, "
    "holding_id, sum(phones) FROM gone GROUP BY 1, 2, 3, 4 HAVING sum(phones) <> 0 ORDER BY 1, 2, 3, 4 ON CONFLICT "
    "(cluster_id, dimension, value, holding_id) DO UPDATE SET phones = c.phones + excluded.phones"};
constexpr Statement kDropEmpty = {"phone_counts_drop_empty", "DELETE FROM phone_count WHERE phones = 0"};
// A row for each number that differs from the last one recorded; one for nobody, when a holding has gone. All of a
// cluster are taken at one moment, so that they add up to its phones.
constexpr Statement kAdoption = {
    "phone_adoption_add",
    "INSERT INTO phone_adoption (cluster_id, at, holding_id, phones) SELECT n.cluster_id, $1, n.holding_id, n.phones "
    "FROM (SELECT h.cluster_id, h.holding_id, coalesce(c.phones, 0) AS phones FROM (SELECT cluster_id, holding_id FROM "
    "phone_holding WHERE kind = 'ITL' UNION ALL SELECT cluster_id, 0 FROM cluster) h LEFT JOIN phone_count c ON "
    "(c.cluster_id, c.dimension, c.value, c.holding_id) = (h.cluster_id, '', '', h.holding_id)) n LEFT JOIN LATERAL "
    "(SELECT a.phones FROM phone_adoption a WHERE a.cluster_id = n.cluster_id AND a.holding_id = n.holding_id "
    "ORDER BY a.at DESC LIMIT 1) l ON true WHERE n.phones <> coalesce(l.phones, 0) AND NOT EXISTS (SELECT FROM "
    "phone_adoption r "
    "WHERE r.cluster_id = n.cluster_id AND r.at > $2) ON CONFLICT DO NOTHING"};
constexpr Statement kForgetAdoption = {"phone_adoption_forget",
                                       "DELETE FROM phone_adoption a WHERE a.at < $1 AND EXISTS "
                                       "(SELECT FROM phone_adoption l WHERE (l.cluster_id, "
                                       "l.holding_id) = (a.cluster_id, a.holding_id) AND l.at > "
                                       "a.at AND l.at < $1)"};
constexpr Statement kClusters = {"phone_upkeep_clusters", "SELECT cluster_id, name FROM cluster ORDER BY cluster_id"};
constexpr Statement kMakeMonths = {"phone_months_create", "SELECT month_partitions_create($1)"};
constexpr Statement kDropMonths = {"phone_months_drop", "SELECT month_partitions_drop($1, $2)"};
constexpr std::array kMonthly = {"phone_history", "tvs_question"};

}  // namespace

PhoneUpkeep::PhoneUpkeep(const PhoneUpkeepOptions& options, Pool& pool, const Clock& clock, Log& log, Metrics& metrics)
    : options_(options), pool_(pool), clock_(clock), log_(log), metrics_(metrics) {}

PhoneUpkeep::~PhoneUpkeep() { Stop(); }

void PhoneUpkeep::Start() {
  thread_ = std::thread([this] { Run(); });
}

void PhoneUpkeep::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void PhoneUpkeep::Run() {
  absl::Time next_old = absl::InfinitePast();
  std::string told;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    const absl::Time now = clock_.Now();
    absl::Status done = FoldCounts(now);
    if (done.ok() && now >= next_old) {
      done = ForgetOld(now);
      if (done.ok()) next_old = now + kOldInterval;
    }
    if (!done.ok() && StatusMessage(done) != told) {
      log_.Warning("PHONE_UPKEEP_FAILED", "the totals of phones are behind; it is tried again", {{"reason", done}});
    }
    told = done.ok() ? "" : StatusMessage(done);
    lock.lock();
    changed_.wait_for(lock, absl::ToChronoMilliseconds(options_.interval), [this] { return stopping_; });
  }
}

absl::Status PhoneUpkeep::FoldCounts(absl::Time now) {
  ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
  RETURN_IF_ERROR(RunInTransaction(*lease, {}, [&](Connection& connection) -> absl::Status {
    RETURN_IF_ERROR(connection.Execute(kFold).status());
    RETURN_IF_ERROR(connection.Execute(kDropEmpty).status());
    return connection.Execute(kAdoption, Parameters().Time(now).Time(now - options_.adoption_interval)).status();
  }));
  return RunInTransaction(*lease, kOneState,
                          [&](Connection& connection) -> absl::Status { return PublishMetrics(connection); });
}

absl::Status PhoneUpkeep::PublishMetrics(Connection& connection) {
  ASSIGN_OR_RETURN(const Result clusters, connection.Execute(kClusters));
  for (const Row row : clusters) {
    int32_t cluster_id = 0;
    std::string name;
    RETURN_IF_ERROR(row.Scan(cluster_id, name));
    ASSIGN_OR_RETURN(const HoldingViews views, HoldingViews::Read(connection, cluster_id));
    ASSIGN_OR_RETURN(const auto counts, PhoneReader(connection, cluster_id, views).Count("", ""));
    std::map<PhoneStatus, int64_t> totals;
    for (const PhoneStatus status : kPhoneStatuses) totals[status] = 0;
    for (const auto& [holding_id, phones] : counts) totals[views.Get(holding_id).status] += phones;
    for (const auto& [status, phones] : totals) {
      metrics_
          .GetGauge("trustline_phones", "Phones in service by the status of their trust list.",
                    {{"cluster", name}, {"status", std::string(PhoneStatusText(status))}})
          .Set(static_cast<double>(phones));
    }
    ASSIGN_OR_RETURN(const int64_t claims, ClaimStore(connection, cluster_id).Count());
    metrics_.GetGauge("trustline_phone_claims", "What was said of phones without evidence.", {{"cluster", name}})
        .Set(static_cast<double>(claims));
  }
  return absl::OkStatus();
}

absl::Status PhoneUpkeep::ForgetOld(absl::Time now) {
  ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
  for (const char* const table : kMonthly) {
    RETURN_IF_ERROR(lease->Execute(kMakeMonths, Parameters().Text(table)).status());
    RETURN_IF_ERROR(lease->Execute(kDropMonths, Parameters().Text(table).Time(now - options_.history)).status());
  }
  RETURN_IF_ERROR(lease->Execute(kForgetAdoption, Parameters().Time(now - options_.history)).status());
  ASSIGN_OR_RETURN(const Result clusters, lease->Execute(kClusters));
  for (const Row row : clusters) {
    ASSIGN_OR_RETURN(const int32_t cluster_id, row.Get<int32_t>(0));
    RETURN_IF_ERROR(ClaimStore(*lease, cluster_id).Forget(now));
  }
  return absl::OkStatus();
}

}  // namespace trustline
