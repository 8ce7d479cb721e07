#include "common/service/health.h"

#include <utility>

#include "absl/time/clock.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr absl::Duration kAnswerLife = absl::Seconds(1);

}  // namespace

void Health::AddReadinessCheck(std::string name, std::function<absl::Status()> check) {
  std::lock_guard lock(mutex_);
  checks_.push_back({std::move(name), std::move(check)});
  evaluated_ = absl::InfinitePast();
}

void Health::ClearChecks() {
  std::lock_guard lock(mutex_);
  checks_.clear();
  stopping_ = true;
  evaluated_ = absl::InfinitePast();
}

void Health::SetStarted() {
  std::lock_guard lock(mutex_);
  started_ = true;
  evaluated_ = absl::InfinitePast();
}

bool Health::started() const {
  std::lock_guard lock(mutex_);
  return started_;
}

absl::Status Health::Ready() {
  std::lock_guard lock(mutex_);
  if (stopping_) return Unavailable("the service is stopping");
  if (!started_) return Unavailable("the service is still starting");
  // After a clock that jumped back the answer counts as old.
  const absl::Duration age = absl::Now() - evaluated_;
  if (age >= absl::ZeroDuration() && age < kAnswerLife) return last_;
  last_ = absl::OkStatus();
  for (const Check& check : checks_) {
    last_ = Annotate(check.run(), check.name);
    if (!last_.ok()) break;
  }
  evaluated_ = absl::Now();
  return last_;
}

}  // namespace trustline
