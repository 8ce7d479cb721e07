#include "itl/plan/lscs_before_move.h"

#include <vector>

#include "absl/strings/str_join.h"
#include "common/postgres/transaction.h"
#include "common/status/status.h"
#include "itl/move/move_readiness.h"
#include "itl/preflight/preflight_report.h"

namespace trustline {
namespace {

constexpr TransactionOptions kOneState = {.isolation = Isolation::kRepeatableRead, .read_only = true};

absl::Status LookForLscs(const StepRun& run) {
  ASSIGN_OR_RETURN(const Pool::Lease lease, run.parts.pool.Acquire());
  ASSIGN_OR_RETURN(const NamedDevices devices, FindDevicesWithLsc(*lease, run.plan.cluster_id, run.parts.clock.Now()));
  if (devices.count == 0) return absl::OkStatus();
  return Waits(fmt::format(
      "{} an LSC of this cluster's CA, which the other side does not accept: {}; `trustctl capf report "
      "--lsc-status installed --output csv > with-lsc.csv`, `trustctl capf schedule delete --from-csv with-lsc.csv`, "
      "and reset them; `trustctl lsc revoke` for those that do not come any more",
      devices.count == 1 ? "1 device has" : fmt::format("{} devices have", devices.count),
      FirstNames(devices.first, devices.count)));
}

}  // namespace

PlanStep LscStep() {
  return {.action = "lscs",
          .kind = StepKind::kCheck,
          .words = {.title = "Wait until no phone has an LSC of this cluster",
                    .gate = "no device in service has an LSC that is good: phones would show it to who does not know "
                            "its CA, and would be refused",
                    .way_back = "take back deletions that wait (`trustctl capf schedule none`), and install those "
                                "again that were deleted (`trustctl capf schedule install`)"},
          .change = LookForLscs,
          .take_back = nullptr};
}

absl::StatusOr<std::string> LeftWithoutLsc(const PlanParts& parts, const StoredPlan& plan) {
  LscDeletions deletions;
  RETURN_IF_ERROR(RunInTransaction(parts.pool, kOneState, [&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(deletions, FindLscDeletions(connection, plan.cluster_id, plan.made_at, parts.clock.Now()));
    return absl::OkStatus();
  }));
  const auto say = [](const NamedDevices& devices, const char* what_one, const char* what_many, const char* remedy) {
    return fmt::format("{}: {} ({})",
                       devices.count == 1 ? fmt::format("1 device {}", what_one)
                                          : fmt::format("{} devices {}", devices.count, what_many),
                       FirstNames(devices.first, devices.count), remedy);
  };
  std::vector<std::string> left;
  if (deletions.waiting.count > 0) {
    left.push_back(say(deletions.waiting, "is to delete its LSC when it comes next", "are to delete their LSCs",
                       "`trustctl capf schedule none` takes that back"));
  }
  if (deletions.done.count > 0) {
    left.push_back(say(deletions.done, "has no LSC any more", "have no LSC any more",
                       "`trustctl capf schedule install` gives them one again"));
  }
  return absl::StrJoin(left, "; ");
}

}  // namespace trustline
