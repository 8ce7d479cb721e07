// One address at which phones ask: the socket, the protocol behind it, and the certificate that it presents.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/bytes/sha256.h"
#include "common/net/io_workers.h"
#include "common/net/stream_server.h"
#include "common/rpc/listener_service.h"
#include "common/service/clock.h"
#include "common/service/listener_config.h"
#include "common/service/log.h"
#include "common/x509/certificate.h"
#include "tvs/freshness.h"
#include "tvs/session.h"
#include "tvs/trust_follower.h"

namespace trustline {

// What the listeners of a process share; all of it outlives them.
struct PhoneListenerParts {
  TrustFollower& follower;
  IoWorkers& workers;
  FreshnessPolicy freshness;
  const Clock& clock;
  Log& log;
  QuestionCounter* questions = nullptr;  // null: nobody wants what phones ask
};

class PhoneListener {
 public:
  // Listens when it returns OK.
  static absl::StatusOr<std::unique_ptr<PhoneListener>> Start(const ListenerConfig& config,
                                                              const PhoneListenerParts& parts);

  // The listener must outlive what uses the result.
  ManagedListener Managed();

  // OK when it could answer a phone about its own certificate now.
  absl::Status Ready() const;

  const std::string& cluster() const { return config_.cluster; }
  // SHA-256 of the certificate that phones are shown now. Thread-safe.
  Sha256Digest presented() const { return Chain().front().sha256(); }
  const StreamServer& server() const { return *server_; }
  const TvsEndpoint& endpoint() const { return *endpoint_; }
  void Stop() { server_->Stop(); }

 private:
  PhoneListener(const ListenerConfig& config, const PhoneListenerParts& parts)
      : config_(config), parts_(parts), cluster_(*parts.follower.Find(config.cluster)) {}

  absl::Status Open(LoadedListener loaded);
  std::vector<Certificate> Chain() const;
  // Empty when the snapshot says that phones may trust it as a TVS.
  std::optional<std::string> WhyNotTrusted(const Certificate& certificate) const;
  absl::Status Admit(const Certificate& certificate) const;
  absl::StatusOr<std::function<void()>> Prepare(const ListenerCredentials& credentials);

  const ListenerConfig config_;
  const PhoneListenerParts parts_;
  FollowedCluster& cluster_;
  mutable std::mutex chain_mutex_;
  std::vector<Certificate> chain_;
  std::unique_ptr<TvsEndpoint> endpoint_;
  std::unique_ptr<StreamServer> server_;
};

}  // namespace trustline
