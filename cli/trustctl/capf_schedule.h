// Orders for many devices, sent to capfd.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cli/trustctl/environment.h"
#include "proto/enrolment.pb.h"

namespace trustline {

// Takes what became of devices, in their order, as soon as it is answered. Its error ends the work.
using TakeOutcomes = std::function<absl::Status(const v1::ScheduleOperationsResponse&)>;

struct ScheduleEnd {
  absl::Status status;    // Aborted after Ctrl-C
  size_t answered = 0;    // devices whose outcome was taken
  bool in_doubt = false;  // capfd may have scheduled more than that
};

// Sends the devices (folded names, none twice) with progress. In batches of 1,000, each of which is scheduled once its
// answer is there; after Ctrl-C the answer to the batch under way is still awaited, because strings are told only once.
// When the options say all_or_nothing they are one transaction, which Ctrl-C ends at once; when it was refused, `take`
// gets the refusals alone. The status says then what that means.
ScheduleEnd ScheduleOperations(Environment& environment, const v1::ScheduleOperationsRequest::Options& options,
                               const std::vector<std::string>& devices, const TakeOutcomes& take);

}  // namespace trustline
