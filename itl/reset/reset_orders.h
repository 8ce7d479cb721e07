// Resets of phones in waves, as they are ordered, changed and shown (tables phone_reset, phone_reset_phone, written by
// itld alone). What works on them is itl/reset/reset_runner.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/postgres/connection.h"
#include "common/postgres/result.h"
#include "common/service/hours_of_day.h"
#include "itl/phone/phone_reader.h"

namespace trustline {

inline constexpr int32_t kLargestResetWave = 10'000;
inline constexpr int64_t kLongestResetPauseSeconds = 86'400;
inline constexpr size_t kLongestResetReason = 200;
// Those that were named; a filter chooses any number.
inline constexpr size_t kMostResetDevices = 10'000;
inline constexpr int64_t kMostOpenResets = 50;  // of a cluster

struct ResetOrder {
  PhoneFilter filter;                // phones that it chooses when the order is given
  bool out_of_step_only = false;     // of these not those that hold the current ITL and no outdated CTL
  std::vector<std::string> devices;  // instead of both, unless empty; checked names
  int32_t wave = 200;
  absl::Duration pause = absl::Seconds(60);  // between the end of a wave and the next one; whole seconds
  HoursOfDay hours;                          // in the cluster's time zone
  double stop_at_failures = 0.05;            // share of the phones tried; see kLeastFailures in reset_wave.h
  std::string hook;                          // one that itld is configured with (itl/reset/reset_hooks.h)
  std::string reason;
  int32_t plan_id = 0;  // 0: no plan
};

enum class ResetState : uint8_t { kRunning, kPaused, kStopped, kDone, kAborted };

struct ResetCounts {
  int64_t phones = 0;
  int64_t waiting = 0;   // with those that are at the hook just now
  int64_t accepted = 0;  // the hook says that they are being reset
  int64_t failed = 0;
  int64_t gone = 0;  // left service before their wave
};

struct ResetRecord {
  int32_t id = 0;
  ResetState state = ResetState::kRunning;
  std::string state_reason;  // why it is paused, has stopped, or was aborted
  int32_t wave = 0;
  absl::Duration pause;
  HoursOfDay hours;
  double stop_at_failures = 0;
  std::string hook;
  std::string reason;
  std::string ordered_by;  // identity URI
  absl::Time ordered_at;
  std::optional<absl::Time> ended_at;  // when it is done or aborted
  absl::Time next_wave_at;             // not before
  int32_t plan_id = 0;
  ResetCounts counts;
  // Of before it was resumed after too many failures.
  int64_t forgiven_tried = 0;
  int64_t forgiven_failed = 0;
};

struct ResetPhone {
  std::string device;
  std::string state;  // as the table has it
  std::string answer;
  std::optional<absl::Time> at;
  bool reported = false;
};

// The columns of ResetRecord, for SELECT ... FROM phone_reset r.
#define RESET_COLUMNS                                                                                             \
  "r.reset_id, r.state, r.state_reason, r.wave, r.pause_seconds, r.hours, r.stop_at_failures, r.hook, r.reason, " \
  "r.ordered_by, r.ordered_at, r.ended_at, r.next_wave_at, r.plan_id, r.phones, r.accepted, r.failed, r.gone, "   \
  "r.forgiven_tried, r.forgiven_failed"
absl::StatusOr<ResetRecord> ReadReset(const Row& row);
std::string_view ResetStateName(ResetState state);

// In whose time zone resets work.
absl::StatusOr<absl::TimeZone> ClusterTimeZone(Connection& connection, int32_t cluster_id);
// What an event of the audit log says of a reset.
std::vector<std::pair<std::string, std::string>> CountsDetail(const ResetRecord& reset);

// Works inside a transaction that the caller owns and commits. Each change is audited in it, in the name of `actor` (an
// identity URI). An id that the cluster does not have is NotFound.
class ResetOrders {
 public:
  ResetOrders(Connection& transaction, int32_t cluster_id) : connection_(transaction), cluster_id_(cluster_id) {}

  // Chooses the phones in this transaction; a reset that chooses none is done at once. InvalidArgument for an order
  // that breaks the limits, NotFound for named devices that are not in service, ResourceExhausted with too many open
  // resets. A million phones take some ten seconds: for a connection whose statements may.
  absl::StatusOr<ResetRecord> Order(const ResetOrder& order, std::string_view actor, absl::Time now);

  // How many phones an order would choose; errors as of Order.
  absl::StatusOr<int64_t> CountChosen(const ResetOrder& order);

  absl::StatusOr<ResetRecord> Find(int32_t id);
  // Those that the hook accepted and that were seen since they were handed over: with a report, or with a list that
  // they took. Looks at each of them: seconds for a million.
  absl::StatusOr<int64_t> CountReported(int32_t id);
  // The newest first, from below the number `before` on (0: from the newest on).
  absl::StatusOr<std::vector<ResetRecord>> List(int32_t before, int64_t limit);
  // In the order of their names, from behind `after` on.
  absl::StatusOr<std::vector<ResetPhone>> Phones(int32_t id, bool failed_only, const std::string& after, int64_t limit);

  // FailedPrecondition unless it runs.
  absl::StatusOr<ResetRecord> Pause(int32_t id, std::string_view reason, std::string_view actor);
  // FailedPrecondition unless it is paused or has stopped. Phones that failed stay so, and do not stop it again.
  absl::StatusOr<ResetRecord> Resume(int32_t id, std::string_view reason, std::string_view actor, absl::Time now);
  // FailedPrecondition when it has ended (`ended_at`). What was handed to the hook is not called back.
  absl::StatusOr<ResetRecord> Abort(int32_t id, std::string_view reason, std::string_view actor, absl::Time now);

  // As Find. Nobody changes it until the transaction ends.
  absl::StatusOr<ResetRecord> Lock(int32_t id);

 private:
  absl::StatusOr<ResetRecord> Read(const Statement& statement, int32_t id);
  absl::Status Audit(std::string_view action, std::string_view reason, std::string_view actor,
                     const ResetRecord& reset);

  Connection& connection_;
  const int32_t cluster_id_;
};

}  // namespace trustline
