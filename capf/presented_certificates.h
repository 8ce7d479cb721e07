// What capfd's listeners present, said in the database again and again, so that a plan that replaces CAPF's certificate
// sees it (table capf_presented).
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/bytes/sha256.h"
#include "common/postgres/pool.h"
#include "common/service/clock.h"

namespace trustline {

// Thread-safe. The clock must outlive it.
class PresentedCertificates {
 public:
  PresentedCertificates(std::string node, const Clock& clock) : node_(std::move(node)), clock_(clock) {}

  // From now on, to phones of the cluster that talk to this listener.
  void Set(const std::string& cluster, const std::string& listener, const Sha256Digest& sha256);

  // Writes it down when anything was set, or the last time is 10 s ago; nothing is due otherwise.
  absl::Status Say(Pool& pool);

 private:
  struct Presented {
    std::string cluster;
    Sha256Digest sha256 = {};
  };
  const std::string node_;
  const Clock& clock_;
  std::mutex mutex_;
  std::map<std::string, Presented> presented_;  // by listener
  absl::Time next_ = absl::InfinitePast();
};

}  // namespace trustline
