#include "common/service/denial_aggregator.h"

#include <utility>

#include "common/service/time_text.h"

namespace trustline {
namespace {

std::string ReasonOf(const AuditEvent& denial) {
  for (const auto& [key, value] : denial.detail) {
    if (key == "reason") return value;
  }
  return "";
}

}  // namespace

std::vector<AuditEvent> DenialAggregator::Add(AuditEvent denial, std::string_view peer_address) {
  const absl::Time now = *denial.occurred_at;
  std::vector<AuditEvent> events = TakeIfOver(now);
  if (counts_.empty()) begin_ = now;
  Kind kind{denial.cluster_id, denial.actor,     denial.action,
            denial.subject,    ReasonOf(denial), std::string(peer_address)};
  if (auto known = counts_.find(kind); known != counts_.end()) {
    ++known->second.denials;
    known->second.last = now;
  } else if (counts_.size() < max_kinds_) {
    counts_.emplace(std::move(kind), Count{0, now});
    events.push_back(std::move(denial));
  } else {
    Count& others = others_[denial.cluster_id];
    ++others.denials;
    others.last = now;
  }
  return events;
}

std::vector<AuditEvent> DenialAggregator::TakeIfOver(absl::Time now) {
  if (counts_.empty() || (now >= begin_ && now < begin_ + kDenialWindow)) return {};
  return TakeAll();
}

std::vector<AuditEvent> DenialAggregator::TakeAll() {
  std::vector<AuditEvent> events;
  const auto append = [&](const Kind& kind, const Count& count) {
    AuditEvent event = {.cluster_id = kind.cluster_id,
                        .occurred_at = count.last,
                        .actor = kind.actor,
                        .action = kind.action,
                        .subject = kind.subject,
                        .outcome = AuditOutcome::kDenied};
    if (!kind.peer_address.empty()) event.detail.emplace_back("peer", kind.peer_address);
    event.detail.emplace_back("count", std::to_string(count.denials));
    event.detail.emplace_back("since", TimeText(begin_));
    if (!kind.reason.empty()) event.detail.emplace_back("reason", kind.reason);
    events.push_back(std::move(event));
  };
  for (const auto& [kind, count] : counts_) {
    if (count.denials > 0) append(kind, count);
  }
  for (const auto& [cluster_id, count] : others_) append({cluster_id, "others", "access.denied", "", "", ""}, count);
  counts_.clear();
  others_.clear();
  return events;
}

}  // namespace trustline
