// What plans consist of: each kind is a row of steps, in the words that administrators read, with the functions that do
// them. A new kind is one more file that makes a PlanKindSteps, and a line in plan_steps.cc.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/postgres/connection.h"
#include "common/postgres/pool.h"
#include "common/service/clock.h"
#include "common/service/key_folder.h"
#include "common/x509/certificate.h"
#include "itl/list/change_guard.h"
#include "itl/list/list_publisher.h"
#include "itl/plan/plan_record.h"
#include "itl/reset/reset_hooks.h"
#include "proto/plan.pb.h"
#include "proto/preflight.pb.h"

namespace trustline {

// OK when every TVS node says that a certificate is valid in a role (NodeVouching::Check).
using NodesCheck =
    std::function<absl::Status(const std::string& cluster, const Certificate& certificate, CertificateRole role)>;

// What plans work with. All of it must outlive them.
struct PlanParts {
  Pool& pool;
  KeyFolder& keys;
  ListPublisher& publisher;
  ChangeGuard& guard;
  NodesCheck nodes;
  const ResetHooks& hooks;
  const Clock& clock;
};

// One look at a step.
struct StepRun {
  const PlanParts& parts;
  const StoredPlan& plan;
  std::string action;  // "plan.switch", for the pre-flight's record
  Caution caution;
  v1::PreFlight* report;     // filled by what goes through the pre-flight
  UnprovenPhones* unproven;  // the same: all of whom too little is known
  // What marks the step done, in the transaction that does it. Its error must undo that: somebody else was faster.
  std::function<absl::Status(Connection& transaction)> finish;
};

// Its functions answer OK: done; Waits(): not yet; IsPreFlightRefusal(): because of the phones; any other error: it
// cannot be done, and why.
using StepFunction = std::function<absl::Status(const StepRun& run)>;

absl::Status Waits(const std::string& what_for);
bool IsWaits(const absl::Status& status);

enum class StepKind : uint8_t {
  kChange,   // of trust: `change` calls run.finish in its transaction
  kGate,     // for phones: `change` of the next change would go through (or `change` of this one, if it has any)
  kReset,    // phones are reset in waves
  kCheck,    // for something else: `change` looks, and changes nothing
  kConfirm,  // by an administrator, who resumes the plan when what `gate` says is done
};

struct PlanStepWords {
  std::string title;     // "Publish lists that name both"
  std::string gate;      // what must be so before it is done
  std::string way_back;  // what an abort does about it
  std::string by_hand;   // what an administrator can do where an abort cannot; empty: nothing in particular
};

struct PlanStep {
  std::string action;  // unique within its kind
  StepKind kind = StepKind::kChange;
  PlanStepWords words;
  StepFunction change;
  // Takes it back. Idempotent: it looks first what there is to take back. None: there is nothing.
  StepFunction take_back;
  // Of a gate: it is open only once registered phones hold the lists of now.
  bool waits_for_running = false;
};

struct PlanKindSteps {
  PlanKind kind;
  // Fills in what is the kind's in a plan (subject, certificates), and refuses one that cannot work. In a transaction
  // that is the caller's.
  std::function<absl::Status(Connection& connection, const PlanParts& parts, const v1::MakePlanRequest& request,
                             StoredPlan& plan)>
      make;
  std::vector<PlanStep> steps;
  // What an abort that has taken everything back still leaves to be done for phones, in words; empty: nothing. None for
  // kinds that leave nothing.
  std::function<absl::StatusOr<std::string>(const PlanParts& parts, const StoredPlan& plan)> left_by_abort = nullptr;
};

// Null for a kind that this version cannot do.
const PlanKindSteps* FindPlanKind(PlanKind kind);

// The kinds.
PlanKindSteps ItlRecoveryRollover();
PlanKindSteps CallManagerRollover();
PlanKindSteps TvsRollover();
PlanKindSteps CapfRollover();

// What kinds share. Steps that reset phones, that wait for the pre-flight of the change that follows, and that wait for
// running phones too.
PlanStep ResetStep(std::string action);
PlanStep GateStep(std::string action, const std::string& what);
PlanStep PhonesStep(std::string action, const std::string& what);

// A change in a transaction of its own that has locked the cluster's list policy.
absl::Status ChangeGuarded(const StepRun& run, const std::function<absl::Status(Connection&, ListStore&)>& change);
// A change, and the lists that follow from it, signed with `signer`; Waits() while a TVS node does not answer for that.
absl::Status ChangeAndPublishGuarded(const StepRun& run, const Certificate& signer,
                                     const std::function<absl::Status(Connection&, ListStore&)>& change);

}  // namespace trustline
