// Phones that a gate of a plan waits for although none of them would lose its way: they are running, and have not taken
// the lists of the step before.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/postgres/connection.h"

namespace trustline {

struct PhonesBehind {
  int64_t count = 0;
  std::string first;  // names of some: "SEP001122334455, SEP001122334456"
};

// Those that are registered, and hold older lists of ours by evidence. Who was registered or said so again within two
// hours is taken to be running: registrars have phones say it more often, and a phone that loses its power says nothing
// any more.
absl::StatusOr<PhonesBehind> FindPhonesBehind(Connection& connection, int32_t cluster_id, absl::Time now);

}  // namespace trustline
