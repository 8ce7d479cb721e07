#include "capf/presented_certificates.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "common/bytes/bytes.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr absl::Duration kInterval = absl::Seconds(10);

// A cluster that is not there yet has nobody to tell.
constexpr Statement kSay = {
    "capf_presented_say",
    "INSERT INTO capf_presented (cluster_id, listener, sha256, said_at) SELECT c.cluster_id, n.listener, n.sha256, $4 "
    "FROM unnest($1::text[], $2::text[], $3::bytea[]) AS n(cluster, listener, sha256) JOIN cluster c ON c.name = "
    "n.cluster ON CONFLICT (cluster_id, listener) DO UPDATE SET sha256 = excluded.sha256, said_at = excluded.said_at"};

}  // namespace

void PresentedCertificates::Set(const std::string& cluster, const std::string& listener, const Sha256Digest& sha256) {
  const std::lock_guard lock(mutex_);
  presented_[listener] = {cluster, sha256};
  next_ = absl::InfinitePast();
}

absl::Status PresentedCertificates::Say(Pool& pool) {
  const absl::Time now = clock_.Now();
  std::vector<std::string> clusters, listeners, digests;
  {
    const std::lock_guard lock(mutex_);
    if (now < next_) return absl::OkStatus();
    next_ = now + kInterval;
    for (const auto& [listener, presented] : presented_) {
      clusters.push_back(presented.cluster);
      listeners.push_back(absl::StrCat(node_, " ", listener));
      digests.emplace_back(AsText(presented.sha256));
    }
  }
  if (listeners.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Pool::Lease lease, pool.Acquire());
  return lease->Execute(kSay, Parameters().TextArray(clusters).TextArray(listeners).BytesArray(digests).Time(now))
      .status();
}

}  // namespace trustline
