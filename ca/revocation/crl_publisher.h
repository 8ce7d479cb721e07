// Makes CRLs off the request path and brings them to the trust store, so that the TVS and the CRL agree.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authority/authority_key.h"
#include "ca/trust_store_client.h"
#include "common/postgres/pool.h"
#include "common/service/clock.h"
#include "common/service/log.h"
#include "common/service/metrics.h"

namespace trustline {

struct CrlPublisherOptions {
  absl::Duration interval = absl::Milliseconds(500);
  // An expired CRL makes every certificate of its authority invalid, so a new one comes long before.
  absl::Duration lifetime = absl::Hours(24 * 7);
  absl::Duration renew_after = absl::Hours(24);
  // How long a CRL may be due that only another cad has the key for.
  absl::Duration key_patience = absl::Seconds(5);
};

// A thread of its own; the pool's statements may take minutes. Of several cad one makes a CRL at a time: its number is
// taken by the row of the authority, which a revocation never touches. The references must outlive it. Metric:
// trustline_ca_crls_total{outcome}.
class CrlPublisher {
 public:
  CrlPublisher(CrlPublisherOptions options, Pool& pool, AuthorityKeys& keys, TrustStoreClient& trust_store,
               const Clock& clock, Log& log, Metrics& metrics);
  ~CrlPublisher();

  void Start();
  void Stop();

  // Looks at once instead of after the interval.
  void Wake();

  // One pass over all authorities. What lacks its key here is left to another cad, and an error once that takes too
  // long. Thread-safe.
  absl::Status Publish();

 private:
  struct Due {
    int32_t cluster_id = 0;
    std::string cluster;
    int32_t authority_id = 0;
    std::string key_name;
    int64_t crl_number = 0;  // of the newest; 0: none
    bool needs_crl = false;
    bool needs_trust_store = false;
    bool is_retired = false;
  };
  // A CRL that is due and whose key is not here.
  struct Missing {
    int64_t crl_number = 0;
    absl::Time since;
  };
  void Run();
  absl::StatusOr<std::vector<Due>> FindDue();
  absl::Status PublishOne(const Due& due);
  // Since somebody last made one, as far as this cad has seen.
  bool IsOverdue(const Due& due);
  absl::Status MakeCrl(const Due& due, const AuthorityKey& key);
  absl::Status BringToTrustStore(const Due& due);

  const CrlPublisherOptions options_;
  Pool& pool_;
  AuthorityKeys& keys_;
  TrustStoreClient& trust_store_;
  const Clock& clock_;
  Log& log_;
  Counter& made_;
  Counter& failed_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  bool woken_ = false;
  std::map<std::pair<int32_t, int32_t>, Missing> missing_;  // by cluster and authority
  std::thread thread_;
};

}  // namespace trustline
