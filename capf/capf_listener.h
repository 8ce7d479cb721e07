// One address at which phones enrol: the socket, the protocol behind it, and the certificate that it presents.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "capf/enrolment_desk.h"
#include "capf/presented_certificates.h"
#include "capf/session.h"
#include "capf/session_pace.h"
#include "capf/work_queue.h"
#include "common/net/io_workers.h"
#include "common/net/stream_server.h"
#include "common/postgres/pool.h"
#include "common/rpc/listener_service.h"
#include "common/service/clock.h"
#include "common/service/listener_config.h"
#include "common/service/log.h"
#include "common/x509/certificate.h"

namespace trustline {

// What the listeners of a process share; all of it outlives them.
struct CapfListenerParts {
  CapfEndpointOptions endpoint;
  WorkQueue& work;
  SessionPace& pace;
  IoWorkers& workers;
  Pool& pool;
  PresentedCertificates& presented;
  const Clock& clock;
  Log& log;
};

class CapfListener {
 public:
  // Listens when it returns OK. `desk` is that of the listener's cluster.
  static absl::StatusOr<std::unique_ptr<CapfListener>> Start(const ListenerConfig& config, EnrolmentDesk& desk,
                                                             const CapfListenerParts& parts);

  // The listener must outlive what uses the result.
  ManagedListener Managed();

  const std::string& cluster() const { return config_.cluster; }
  const StreamServer& server() const { return *server_; }
  const CapfEndpoint& endpoint() const { return *endpoint_; }
  void Stop() { server_->Stop(); }

 private:
  CapfListener(const ListenerConfig& config, const CapfListenerParts& parts) : config_(config), parts_(parts) {}

  absl::Status Open(LoadedListener loaded, EnrolmentDesk& desk);
  absl::Status Admit(const Certificate& certificate) const;
  absl::StatusOr<std::function<void()>> Prepare(const ListenerCredentials& credentials);

  const ListenerConfig config_;
  const CapfListenerParts parts_;
  std::vector<Certificate> chain_;  // at the start
  std::unique_ptr<CapfEndpoint> endpoint_;
  std::unique_ptr<StreamServer> server_;
};

}  // namespace trustline
