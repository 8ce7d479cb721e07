// One wave of a reset: what is handed to the hook, and what becomes of its answers.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/postgres/connection.h"
#include "itl/reset/reset_orders.h"

namespace trustline {

// Failures that stop a reset: more than its share of the phones tried, and at least three, so that one or two phones
// which are out of order do not stop one that has just begun. All of its phones are too many in any case.
inline constexpr int64_t kLeastFailures = 3;

struct HandedPhone {
  std::string device;
  std::string model;
  std::string site;
  std::string address;  // that it last reported from; empty: none is known
  std::string user_agent;
};

struct PhoneAnswer {
  std::string device;
  bool accepted = false;
  std::string words;
};

struct OpenReset {
  int32_t cluster_id = 0;
  std::string cluster;
  int32_t reset_id = 0;
};
// Those that run, of all clusters.
absl::StatusOr<std::vector<OpenReset>> ListRunningResets(Connection& connection);

// Works inside transactions that the caller owns and commits; the wave's hook runs between two of them.
class ResetWave {
 public:
  ResetWave(Connection& transaction, const OpenReset& reset, std::string_view actor)
      : connection_(transaction), reset_(reset), actor_(actor) {}

  struct Begun {
    std::vector<HandedPhone> phones;  // empty: there is nothing to hand over now
    std::string hook;
    bool is_done = false;  // with this call
    ResetRecord reset;
  };
  // When the reset runs, its pause is over and the hours are right: the next phones, marked as handed over. First come
  // those that an itld which was killed had handed over and got no answer for: they may be reset twice, which does no
  // harm, but none is left out. Ends the reset when no phone is left.
  absl::StatusOr<Begun> Begin(absl::Time now);

  struct Ended {
    enum class Kind : uint8_t { kGoesOn, kStopped, kDone } kind = Kind::kGoesOn;
    std::string reason;  // of kStopped
    ResetRecord reset;
    int64_t accepted = 0;  // of this wave
    int64_t failed = 0;
  };
  // Records answers for phones that were handed over. Of a whole wave: the pause begins, and the reset stops when there
  // were too many failures, or is done. Otherwise, when the hook was interrupted, the rest is handed over again.
  absl::StatusOr<Ended> End(std::span<const PhoneAnswer> answers, bool is_whole, absl::Time now);

  // For a hook that could not be run: nothing was handed over, and the reset stops until it is resumed.
  absl::Status TakeBack(const std::vector<HandedPhone>& phones, std::string_view reason);

 private:
  absl::StatusOr<std::vector<HandedPhone>> HandOver(const ResetRecord& reset, absl::Time now);
  absl::StatusOr<ResetRecord> Finish(absl::Time now);
  absl::Status Stop(std::string_view reason, const ResetRecord& reset);
  absl::Status Audit(std::string_view action, std::string_view reason, const ResetRecord& reset);
  Parameters Key() const { return std::move(Parameters().Int64(reset_.cluster_id).Int64(reset_.reset_id)); }

  Connection& connection_;
  const OpenReset& reset_;
  const std::string_view actor_;
};

// Resets that ended before this, with their phones. One in each call, true when there was one.
absl::StatusOr<bool> ForgetOldReset(Connection& transaction, absl::Time before);

}  // namespace trustline
