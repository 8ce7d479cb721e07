#include "ca/issuance/sweeper.h"

#include <vector>

#include "absl/time/clock.h"
#include "common/service/fail_point.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr char kMetric[] = "trustline_ca_sweeps_total";
constexpr char kHelp[] = "Open intents that the sweeper resolved";

// By the database's clock, which wrote requested_at too.
constexpr Statement kOpen = {
    "open_intents",
    "SELECT cluster_id, issuance_id, requested_at < now() - $2 * interval '1 millisecond' FROM issuance "
    "WHERE state = 'intent' AND requested_at <= now() - $1 * interval '1 millisecond' ORDER BY issuance_id LIMIT 1000"};

}  // namespace

Sweeper::Sweeper(SweeperOptions options, Issuer& issuer, Pool& pool, Log& log, Metrics& metrics)
    : options_(std::move(options)),
      issuer_(issuer),
      pool_(pool),
      log_(log),
      finished_(metrics.GetCounter(kMetric, kHelp, {{"outcome", "finished"}})),
      abandoned_(metrics.GetCounter(kMetric, kHelp, {{"outcome", "abandoned"}})) {}

Sweeper::~Sweeper() { Stop(); }

void Sweeper::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Sweeper::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void Sweeper::Run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    const absl::StatusOr<int> resolved = Sweep(options_.grace);
    if (!resolved.ok() && !absl::IsUnavailable(resolved.status())) {
      log_.Warning("CA_SWEEP_FAILED", "open requests could not be looked at",
                   {{"reason", StatusMessage(resolved.status())}});
    }
    lock.lock();
    changed_.wait_for(lock, absl::ToChronoMilliseconds(options_.interval), [this] { return stopping_; });
  }
}

absl::StatusOr<int> Sweeper::Sweep(absl::Duration grace) {
  struct Open {
    int32_t cluster_id = 0;
    int64_t issuance_id = 0;
    bool is_old = false;
  };
  std::vector<Open> open;
  {
    ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
    ASSIGN_OR_RETURN(
        const Result result,
        lease->Execute(
            kOpen,
            Parameters().Int64(absl::ToInt64Milliseconds(grace)).Int64(absl::ToInt64Milliseconds(options_.patience))));
    for (const Row row : result) {
      Open& intent = open.emplace_back();
      RETURN_IF_ERROR(row.Scan(intent.cluster_id, intent.issuance_id, intent.is_old));
    }
  }
  int resolved = 0;
  for (const Open& intent : open) {
    FailPoint("sweeping");
    if (Resolve(intent.cluster_id, intent.issuance_id, intent.is_old)) ++resolved;
  }
  return resolved;
}

bool Sweeper::Resolve(int32_t cluster_id, int64_t issuance_id, bool is_old) {
  const absl::StatusOr<IssuedLsc> issued = issuer_.Finish(cluster_id, issuance_id, options_.actor);
  if (issued.ok()) {
    finished_.Add();
    log_.Info(
        "CA_INTENT_FINISHED", "a request that a crash had left was finished",
        {{"device", issued->certificate.subject().common_name()}, {"serial", ToHex(issued->certificate.serial())}});
    return true;
  }
  const absl::Status& reason = issued.status();
  // A refusal by the checks has abandoned it already. Whatever else there is may pass.
  const absl::StatusOr<bool> open = issuer_.IsOpen(cluster_id, issuance_id);
  if (!open.ok()) return false;
  if (*open && (!is_old || !issuer_.GiveUp(cluster_id, issuance_id, reason, options_.actor).ok())) return false;
  abandoned_.Add();
  log_.Warning("CA_INTENT_ABANDONED", "a request that a crash had left was given up",
               {{"issuance", issuance_id}, {"reason", StatusMessage(reason)}});
  return true;
}

}  // namespace trustline
