#include "itl/node/refused_joins.h"

#include <algorithm>
#include <utility>

namespace trustline {

std::string_view PeerAddress(std::string_view peer) {
  const bool with_port = peer.starts_with("ipv4:") || peer.starts_with("ipv6:");
  return with_port ? peer.substr(0, peer.rfind(':')) : peer;
}

std::optional<int64_t> RefusedJoins::Admit(std::string_view peer, absl::Time now) {
  const std::string_view address = PeerAddress(peer);
  const std::lock_guard lock(mutex_);
  // A time in the future is from before the clock was set back.
  std::erase_if(last_minute_,
                [now](const Audited& audited) { return audited.at > now || audited.at <= now - absl::Minutes(1); });
  const auto of_peer = std::count_if(last_minute_.begin(), last_minute_.end(),
                                     [address](const Audited& audited) { return audited.address == address; });
  if (of_peer >= kAuditedRefusalsOfAPeer || std::ssize(last_minute_) >= kAuditedRefusals) {
    ++left_out_;
    return std::nullopt;
  }
  last_minute_.push_back({now, std::string(address)});
  return std::exchange(left_out_, 0);
}

}  // namespace trustline
