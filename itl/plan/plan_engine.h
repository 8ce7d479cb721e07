// Carries plans out, a step at a time. Nothing is kept in memory: what is done is marked done in the transaction that
// does it, so that whoever comes next, after a crash too, goes on where the plan is.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/service/log.h"
#include "itl/plan/plan_record.h"
#include "itl/plan/plan_steps.h"
#include "proto/preflight.pb.h"

namespace trustline {

// Of a step that waits for phones: what becomes of them, and all of whom too little is known.
struct GateAnswer {
  v1::PreFlight report;  // empty: it waits for no phones
  UnprovenPhones unproven;
};

// Thread-safe; several processes on one database do no harm. The references must outlive it.
class PlanEngine {
 public:
  PlanEngine(PlanParts parts, Log& log) : parts_(std::move(parts)), log_(log) {}

  // Looks at the step of a running plan that is next, or goes on with its abort. True when something moved, so that the
  // next look may find more; false when the plan waits, or does not run. Errors are passing ones (a database that is
  // away): try again.
  absl::StatusOr<bool> Advance(int32_t cluster_id, int32_t number);

  // For whom the step that waits for phones is waiting, as it is now; empty for another step. Changes nothing.
  absl::StatusOr<GateAnswer> Ask(const StoredPlan& plan);

  const PlanParts& parts() const { return parts_; }

 private:
  struct Position {
    const PlanKindSteps* kind = nullptr;
    const StoredStep* stored = nullptr;
    const PlanStep* step = nullptr;
  };
  absl::StatusOr<StoredPlan> Read(int32_t cluster_id, int32_t number);
  static absl::StatusOr<Position> At(const StoredPlan& plan, const StoredStep& stored);
  // Under the lock of the plan's row, if it still runs with `step` to be done.
  absl::Status Mark(Connection& connection, const StoredPlan& plan, const StoredStep& step, StepState state,
                    const std::string& progress);
  absl::StatusOr<bool> MarkNow(const StoredPlan& plan, const StoredStep& step, StepState state,
                               const std::string& progress);
  absl::StatusOr<bool> Stop(const StoredPlan& plan, const StoredStep& step, const std::string& reason);
  absl::StatusOr<bool> Finish(const StoredPlan& plan);
  // What became of a look at a step.
  absl::StatusOr<bool> Conclude(const StoredPlan& plan, const StoredStep& step, const absl::Status& status,
                                const GateAnswer& answer);
  // On the plan's terms.
  StepRun RunOf(const StoredPlan& plan, std::string action, GateAnswer& answer) const;
  // The function whose pre-flight a gate waits for, asked.
  absl::Status AskGate(const StoredPlan& plan, const Position& position, GateAnswer& answer);
  absl::StatusOr<bool> DoChange(const StoredPlan& plan, const Position& position);
  absl::StatusOr<bool> DoGate(const StoredPlan& plan, const Position& position);
  // Waits() while registered phones hold older lists, more of them than the plan goes without.
  // Who is not waited for, in words; empty: nobody.
  absl::StatusOr<std::string> WaitForRunning(const StoredPlan& plan);
  absl::StatusOr<bool> DoReset(const StoredPlan& plan, const Position& position);
  absl::StatusOr<bool> FollowReset(const StoredPlan& plan, const StoredStep& step);
  absl::StatusOr<bool> DoConfirm(const StoredPlan& plan, const Position& position);

  // The abort: itl/plan/plan_abort.cc.
  absl::StatusOr<bool> AdvanceAbort(const StoredPlan& plan);
  // OK also when it stays as it is, of which `stays` tells.
  absl::Status TakeBack(const StoredPlan& plan, const StoredStep& stored, std::vector<std::string>& stays);
  absl::Status CallResetOff(const StoredPlan& plan, const StoredStep& stored);

  const PlanParts parts_;
  Log& log_;
};

// "9,988 of 10,000 phones are ready (9,000 by their lists, 988 through a TVS); waits for 12: SEP001122334455, ... and 7
// more; 12 unproven: it has said nothing for over 180 days (...)". Of one that is open, whom it does not wait for.
std::string ProgressText(const GateAnswer& answer, const StoredPlan& plan, bool is_open);

// Whether an error passes by itself.
bool IsPassing(const absl::Status& status);

}  // namespace trustline
