// Phones that a gate of a plan waits for although none of them would lose its way: they are running, and have not taken
// the lists of the step before.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/postgres/connection.h"
#include "common/service/key_folder.h"

namespace trustline {

struct PhonesBehind {
  int64_t count = 0;
  std::string first;  // names of up to five: "SEP001122334455, SEP001122334456"
};

// Those that are registered, hold older lists of ours by evidence, and would take the new ones at a reset: whoever
// needs more than that is the pre-flight's matter. Who registered within two hours is taken to be running: registrars
// have phones say so more often, and a phone that loses its power says nothing any more.
absl::StatusOr<PhonesBehind> FindPhonesBehind(Connection& connection, int32_t cluster_id, KeyFolder& keys,
                                              absl::Time now);

}  // namespace trustline
