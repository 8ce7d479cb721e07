// One [[sip_listener]]: its sockets, and the certificate that it presents over TLS.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/net/io_workers.h"
#include "common/net/stream_server.h"
#include "common/net/udp_server.h"
#include "common/rpc/listener_service.h"
#include "common/service/log.h"
#include "common/service/metrics.h"
#include "common/x509/certificate.h"
#include "provisioning/configuration.h"
#include "provisioning/forwarders.h"
#include "provisioning/sip/report_intake.h"
#include "provisioning/tvs_judge.h"

namespace trustline {

// Of the listener's cluster, and shared by its listeners; all of it outlives them.
struct SipListenerParts {
  ReportIntake& intake;
  const ForwarderSource& forwarders;
  TvsJudge& judge;
  IoWorkers& workers;
  Log& log;
};

class SipListener {
 public:
  // Listens when it returns OK. Log events: SIP_LISTENING, and SIP_CONNECTION for connections that end early.
  static absl::StatusOr<std::unique_ptr<SipListener>> Start(const SipListenerConfig& config,
                                                            const SipListenerParts& parts);

  // Nothing without TLS. The listener must outlive what uses the result.
  std::optional<ManagedListener> Managed();
  // The listener must outlive the registrations.
  std::vector<Metrics::Registration> RegisterMetrics(Metrics& metrics) const;

  void Stop();

 private:
  SipListener(const SipListenerConfig& config, const SipListenerParts& parts) : config_(config), parts_(parts) {}

  absl::Status Open();
  absl::StatusOr<std::unique_ptr<StreamServer>> OpenStream(StreamServerOptions options, SipTransport transport);
  absl::StatusOr<std::function<void()>> Prepare(const ListenerCredentials& credentials);

  const SipListenerConfig config_;
  const SipListenerParts parts_;
  std::vector<Certificate> chain_;  // at the start
  std::unique_ptr<UdpServer> udp_;
  std::unique_ptr<StreamServer> tcp_;
  std::unique_ptr<StreamServer> tls_;
};

}  // namespace trustline
