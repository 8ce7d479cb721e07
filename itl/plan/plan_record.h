// A plan as it is kept: a change of trust in steps.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "common/bytes/sha256.h"
#include "itl/list/change_guard.h"

namespace trustline {

// The numbers of these are those of proto/plan.proto.
enum class PlanKind : uint8_t {
  kRolloverCallManager = 1,
  kRolloverItlRecovery = 2,
  kRolloverTvs = 3,
  kRolloverCapf = 4,
  kMigrate = 5,
  kRollback = 6,
};
enum class PlanState : uint8_t { kMade = 1, kRunning = 2, kPaused = 3, kStopped = 4, kDone = 5, kAborted = 6 };
enum class StepState : uint8_t { kAhead = 1, kWaiting = 2, kDone = 3, kSkipped = 4, kFailed = 5, kTakenBack = 6 };

// As the database has them: "rollover itlrecovery", "running", "taken back".
std::string_view PlanKindText(PlanKind kind);
std::string_view PlanStateText(PlanState state);
std::string_view StepStateText(StepState state);

struct StoredStep {
  int32_t number = 0;  // from 1
  std::string action;  // one of its kind's (itl/plan/plan_steps.h)
  StepState state = StepState::kAhead;
  std::string progress;
  int32_t reset_id = 0;  // that it ordered; 0: none
  std::optional<absl::Time> began_at;
  std::optional<absl::Time> ended_at;

  // There is nothing left to do for it.
  bool IsOver() const { return state == StepState::kDone || state == StepState::kSkipped; }
};

struct StoredPlan {
  int32_t cluster_id = 0;
  std::string cluster;
  int32_t number = 0;
  PlanKind kind = PlanKind::kRolloverItlRecovery;
  std::string subject;
  PlanState state = PlanState::kMade;
  std::string state_reason;
  bool aborting = false;
  std::optional<Sha256Digest> old_sha256;
  std::string new_certificate;  // DER; empty: it has none, or not yet
  std::string new_key_name;
  std::string detail;  // its kind's
  bool blank = false;
  bool with_resets = false;
  int32_t wave = 0;
  std::string hours;
  double stop_at_failures = 0;
  std::string hook;
  int64_t accepted_unproven = 0;                             // how many phones
  std::shared_ptr<const UnprovenPhones> accepted = nullptr;  // who, and why; null in a list of plans
  int64_t goes_without = 0;
  std::string reason;
  std::string made_by;  // identity URI; its changes are made in this name
  absl::Time made_at;
  std::optional<absl::Time> ended_at;
  std::vector<StoredStep> steps;

  // The first that is not over; null when all are.
  const StoredStep* Current() const {
    for (const StoredStep& step : steps) {
      if (!step.IsOver()) return &step;
    }
    return nullptr;
  }
};

}  // namespace trustline
