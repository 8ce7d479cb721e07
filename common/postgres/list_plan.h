// How statements that take lists are planned.
#pragma once

#include "common/postgres/connection.h"

namespace trustline {

// For the beginning of a transaction, with ExecuteWithNext(): its statements are planned once for lists of all lengths.
// PostgreSQL would else plan for the length of each, which takes longer than what is done with a short list.
inline constexpr Statement kOnePlanForLists = {"one_plan_for_lists", "SET LOCAL plan_cache_mode = force_generic_plan"};

}  // namespace trustline
