// Whether the authentication strings of the database are kept under this process's key: one with another key would take
// every right string for a wrong one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "capf/authentication_string.h"
#include "common/postgres/connection.h"
#include "common/postgres/pool.h"

namespace trustline {

enum class StringKeyUse : uint8_t {
  kCompare,
  kKeep,  // nobody replaces the key before the transaction ends
};

// For each transaction in which strings are compared or kept. FailedPrecondition, with what to do, when the database's
// are kept under another key. The first key that a database sees is its key; `actor` is the capfd's identity URI.
absl::Status CheckStringKey(Connection& transaction, const AuthenticationStrings& strings, std::string_view actor,
                            StringKeyUse use);

// True for what CheckStringKey says of another key, and for no error of the database.
bool IsOtherStringKey(const absl::Status& status);

// The same in a transaction of its own. Another key whose fingerprint is `lost` is replaced by this one: what waits for
// a string of it fails, and that is audited. Returns the number of those operations.
absl::StatusOr<int64_t> TakeStringKey(Pool& pool, const AuthenticationStrings& strings, std::string_view actor,
                                      std::string_view lost, absl::Time now);

// As the administrator sees it: 16 hexadecimal digits.
std::string StringKeyFingerprint(const AuthenticationStrings& strings);

}  // namespace trustline
