// Plans of changes of trust: their words, and how they are shown.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "cli/trustctl/enumeration_words.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/output.h"
#include "proto/plan.pb.h"

namespace trustline {

// What --signer takes.
inline constexpr std::array<Word<v1::PlanKind>, 4> kPlanSigners = {{
    {"callmanager", v1::PLAN_KIND_ROLLOVER_CALLMANAGER},
    {"itlrecovery", v1::PLAN_KIND_ROLLOVER_ITLRECOVERY},
    {"tvs", v1::PLAN_KIND_ROLLOVER_TVS},
    {"capf", v1::PLAN_KIND_ROLLOVER_CAPF},
}};

inline constexpr std::array<Word<v1::PlanKind>, 6> kPlanKinds = {{
    {"rollover callmanager", v1::PLAN_KIND_ROLLOVER_CALLMANAGER},
    {"rollover itlrecovery", v1::PLAN_KIND_ROLLOVER_ITLRECOVERY},
    {"rollover tvs", v1::PLAN_KIND_ROLLOVER_TVS},
    {"rollover capf", v1::PLAN_KIND_ROLLOVER_CAPF},
    {"migrate", v1::PLAN_KIND_MIGRATE},
    {"rollback", v1::PLAN_KIND_ROLLBACK},
}};

inline constexpr std::array<Word<v1::PlanState>, 6> kPlanStates = {{
    {"made", v1::PLAN_STATE_MADE},
    {"running", v1::PLAN_STATE_RUNNING},
    {"paused", v1::PLAN_STATE_PAUSED},
    {"stopped", v1::PLAN_STATE_STOPPED},
    {"done", v1::PLAN_STATE_DONE},
    {"aborted", v1::PLAN_STATE_ABORTED},
}};

inline constexpr std::array<Word<v1::PlanStepState>, 6> kPlanStepStates = {{
    {"ahead", v1::PLAN_STEP_STATE_AHEAD},
    {"waiting", v1::PLAN_STEP_STATE_WAITING},
    {"done", v1::PLAN_STEP_STATE_DONE},
    {"skipped", v1::PLAN_STEP_STATE_SKIPPED},
    {"failed", v1::PLAN_STEP_STATE_FAILED},
    {"taken back", v1::PLAN_STEP_STATE_TAKEN_BACK},
}};

// A line for each plan.
std::vector<Column> PlanColumns();
Row PlanRow(const v1::Plan& plan);

// "plan 3, rollover callmanager of tftp1".
std::string PlanText(const v1::Plan& plan);

// A plan with its steps and for whom it waits. People see `sentence` before it, unless that is empty.
void WritePlan(Environment& environment, const std::string& sentence, const v1::Plan& plan,
               const v1::PreFlight& waits_for);

}  // namespace trustline
