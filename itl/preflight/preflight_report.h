// A pre-flight in words and numbers: for answers, refusals and the record of what was accepted.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "itl/list/change_guard.h"
#include "itl/preflight/fleet_reader.h"
#include "itl/preflight/preflight.h"
#include "proto/preflight.pb.h"

namespace trustline {

struct NamedPhone {
  std::string device;
  GroupVerdict verdict;
};

// How many phones an answer names.
inline constexpr size_t kMostNamed = 20'000;

// The locked, the unproven and those that needed help before, each by name; `all`: without a limit.
absl::StatusOr<std::vector<NamedPhone>> NameConcerned(FleetReader& reader, const Fleet& fleet,
                                                      const PreFlightResult& result);

v1::PreFlight ToProto(const Fleet& fleet, const PreFlightResult& result, const std::vector<NamedPhone>& named);

// OK when the change may be made on these terms; else a PreFlightRefusal() with numbers, names and the ways out.
absl::Status CheckTerms(const PreFlightResult& result, const std::vector<NamedPhone>& named, const Caution& caution);

}  // namespace trustline
