// The plan that moves the phones to another cluster: of this system, or one of another system by its export.
#pragma once

#include "itl/plan/plan_steps.h"

namespace trustline {

PlanKindSteps Migration();

}  // namespace trustline
