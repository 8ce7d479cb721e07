// A pre-flight in words and numbers: for answers, refusals and the record of what was accepted.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/service/audit.h"
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

// The locked, the unproven and those that needed help before, each by name.
absl::StatusOr<std::vector<NamedPhone>> NameConcerned(FleetReader& reader, const Fleet& fleet,
                                                      const PreFlightResult& result);

// What would make a phone safe; RemedyText() where nothing else is said.
using RemedyWords = std::string_view (*)(VerdictReason reason);

v1::PreFlight ToProto(const Fleet& fleet, const PreFlightResult& result, const std::vector<NamedPhone>& named,
                      RemedyWords remedy = RemedyText);

// OK when the change may be made on these terms; else a PreFlightRefusal() with numbers, names and the ways out. A
// number is exact: also when nobody is unproven.
absl::Status CheckTerms(const PreFlightResult& result, const std::vector<NamedPhone>& named, const Caution& caution,
                        RemedyWords remedy = RemedyText);

// "12,345".
std::string Grouped(int64_t number);
// "SEP1, SEP2 and 7 more": the first of `count`.
std::string FirstNames(const std::vector<std::string>& first, int64_t count);

// The first of them, and the SHA-256 of all, a line each, by which the whole list can be proven later.
void AddNames(const std::vector<std::string>& devices, AuditEvent& event);

UnprovenPhones UnprovenOf(const std::vector<NamedPhone>& named);

}  // namespace trustline
