#include "itl/plan/plan_runner.h"

#include <set>
#include <vector>

#include "common/status/status.h"
#include "itl/plan/plan_store.h"

namespace trustline {

PlanRunner::PlanRunner(const PlanRunnerOptions& options, PlanEngine& engine, Log& log, Metrics& metrics)
    : options_(options), engine_(engine), log_(log), metrics_(metrics) {}

PlanRunner::~PlanRunner() { Stop(); }

void PlanRunner::Start() {
  thread_ = std::thread([this] { Run(); });
}

void PlanRunner::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void PlanRunner::Wake() {
  {
    const std::lock_guard lock(mutex_);
    woken_ = true;
  }
  changed_.notify_all();
}

bool PlanRunner::IsStopping() {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

void PlanRunner::Run() {
  std::string told;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const bool all = std::exchange(woken_, false);
    lock.unlock();
    const absl::Status looked = LookOnce(all);
    if (!looked.ok() && StatusMessage(looked) != told) {
      log_.Warning("PLANS_FAILED", "plans do not go on; it is tried again", {{"reason", looked}});
    }
    told = looked.ok() ? "" : StatusMessage(looked);
    lock.lock();
    changed_.wait_for(lock, absl::ToChronoMilliseconds(options_.interval), [this] { return stopping_ || woken_; });
  }
}

absl::Status PlanRunner::LookOnce(bool all) {
  std::vector<RunningPlan> running;
  {
    ASSIGN_OR_RETURN(const Pool::Lease lease, engine_.parts().pool.Acquire());
    ASSIGN_OR_RETURN(running, RunningPlans(*lease));
  }
  metrics_.GetGauge("trustline_plans_running", "Plans that run.", {}).Set(static_cast<double>(running.size()));
  std::set<std::pair<int32_t, int32_t>> present;
  for (const RunningPlan& plan : running) {
    const std::pair<int32_t, int32_t> key(plan.cluster_id, plan.number);
    present.insert(key);
    const absl::Time now = engine_.parts().clock.Now();
    const auto next = next_looks_.find(key);
    if (!all && next != next_looks_.end() && now < next->second) continue;
    absl::StatusOr<bool> moved = true;
    while (moved.ok() && *moved && !IsStopping()) moved = engine_.Advance(plan.cluster_id, plan.number);
    next_looks_[key] = now + options_.patience;
    std::string& told = told_[key];
    const std::string failure = moved.ok() ? "" : std::string(StatusMessage(moved.status()));
    if (!failure.empty() && failure != told) {
      log_.Warning("PLAN_WAITS", "a step of a plan could not be looked at; it is tried again",
                   {{"cluster_id", plan.cluster_id}, {"plan", plan.number}, {"reason", failure}});
    }
    told = failure;
  }
  std::erase_if(next_looks_, [&](const auto& entry) { return !present.contains(entry.first); });
  std::erase_if(told_, [&](const auto& entry) { return !present.contains(entry.first); });
  return absl::OkStatus();
}

}  // namespace trustline
