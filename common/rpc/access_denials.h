// The count of denied calls.
#pragma once

#include "common/service/metrics.h"

namespace trustline {

// trustline_access_denied_total{reason}: "no_identity", "no_role" or "service".
inline Counter& DenialCounter(Metrics& metrics, const char* reason) {
  return metrics.GetCounter("trustline_access_denied_total", "Calls that were denied.", {{"reason", reason}});
}

}  // namespace trustline
