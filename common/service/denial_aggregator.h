// Makes few audit events of many denials, so that no caller can fill the audit log or hide others' denials in it.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "common/service/audit.h"

namespace trustline {

inline constexpr absl::Duration kDenialWindow = absl::Minutes(1);
inline constexpr size_t kMaxDenialKinds = 1000;

// Denials of one kind have cluster, actor, action, subject, reason and peer address in common. The first of a kind in a
// window, which begins with its first denial, is an event at once; those that follow become one event with a count when
// it is over. Kinds beyond `max_kinds` in a window become one event a cluster, of the actor "others". For one thread.
class DenialAggregator {
 public:
  explicit DenialAggregator(size_t max_kinds = kMaxDenialKinds) : max_kinds_(max_kinds) {}

  // The events to record now: the counts of a window that is over, then `denial` itself if it is the first of its kind.
  // `denial.occurred_at` must be set.
  std::vector<AuditEvent> Add(AuditEvent denial, std::string_view peer_address);

  // The counts, when the window is over at `now`; also after the clock was set back to before its beginning.
  std::vector<AuditEvent> TakeIfOver(absl::Time now);
  // Ends the window.
  std::vector<AuditEvent> TakeAll();

  // No window is open.
  bool empty() const { return counts_.empty(); }

 private:
  struct Kind {
    int32_t cluster_id = 0;
    std::string actor;
    std::string action;
    std::string subject;
    std::string reason;
    std::string peer_address;
    auto operator<=>(const Kind&) const = default;  // NOLINT(modernize-use-nullptr): it reads the implied 0
  };
  struct Count {
    uint64_t denials = 0;  // without the one that was recorded at once
    absl::Time last;
  };

  const size_t max_kinds_;
  absl::Time begin_;
  std::map<Kind, Count> counts_;
  std::map<int32_t, Count> others_;  // by cluster
};

}  // namespace trustline
