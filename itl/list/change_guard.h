// Who watches over a change of trust, and on which terms it is made.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/postgres/connection.h"
#include "common/postgres/pool.h"
#include "common/postgres/transaction.h"

namespace trustline {

// Devices of which too little is known, each with the reason (itl/preflight: ReasonText).
using UnprovenPhones = std::set<std::pair<std::string, std::string>>;

// What an administrator says to the pre-flight (proto/preflight.proto).
struct Caution {
  bool plan = false;
  std::optional<int64_t> accept_unproven;
  std::string override_reason;
  // Of a plan, whose administrator said a number when a gate waited: whom it meant, and why they were unproven. Nobody
  // else may be, and nobody for another reason.
  std::shared_ptr<const UnprovenPhones> accepted = nullptr;

  bool Accepts(const std::string& device, std::string_view reason) const {
    return accepted != nullptr && accepted->contains({device, std::string(reason)});
  }
};

namespace v1 {
class Caution;  // proto/preflight.proto
class PreFlight;
}  // namespace v1

// InvalidArgument for a number below 0 and a reason that is too long.
absl::StatusOr<Caution> FromProto(const v1::Caution& proto);

struct GuardedChange {
  int32_t cluster_id = 0;
  std::string actor;   // identity URI
  std::string action;  // as in the audit log: "trust.remove"
  std::string subject;
  std::string reason = {};  // of its order, where that has one; an override has its own
  Caution caution = {};
  std::vector<std::string> away_nodes = {};  // TVS nodes that need not answer for it, so that they are nobody's way
  v1::PreFlight* report = nullptr;           // filled when given, also when the change is refused; not owned
  UnprovenPhones* unproven = nullptr;        // the same: all of them, however many
  bool is_retried = false;                   // by itself, until it may be made: a refusal is no event
  // What speaks against it besides the phones, written by the change itself: it is refused with these words, unless it
  // is overridden. Not owned; may be null.
  const std::string* objection = nullptr;
};

// Thread-safe.
class ChangeGuard {
 public:
  virtual ~ChangeGuard() = default;

  // Runs `change` inside the caller's transaction, between two looks at what the cluster offers, with its list policy
  // locked. FailedPrecondition, which undoes the transaction, when phones would be locked out, or are unproven and not
  // accepted by their exact number; IsPreFlightRefusal() tells it from the change's own errors. With `plan` the result
  // is never OK: IsPlanned() then says that the change went through and is to be undone.
  virtual absl::Status Run(Connection& transaction, const GuardedChange& change,
                           const std::function<absl::Status()>& apply) = 0;
};

// A transaction of its own for `body`, under the guard when there is one. OK too when it was planned only.
absl::Status RunGuarded(Pool& pool, ChangeGuard* guard, const GuardedChange& change,
                        const std::function<absl::Status(Connection&)>& body);

absl::Status PreFlightRefusal(const std::string& message);
bool IsPreFlightRefusal(const absl::Status& status);
absl::Status Planned();
bool IsPlanned(const absl::Status& status);

}  // namespace trustline
