#include "provisioning/sip_listener.h"

#include <utility>

#include "ca/profile/phone_facing.h"
#include "common/device/certificate_role.h"
#include "common/service/listener_metrics.h"
#include "common/status/status.h"
#include "provisioning/sip/report_datagrams.h"
#include "provisioning/sip/report_session.h"

namespace trustline {

absl::StatusOr<std::unique_ptr<SipListener>> SipListener::Start(const SipListenerConfig& config,
                                                                const SipListenerParts& parts) {
  std::unique_ptr<SipListener> listener(new SipListener(config, parts));
  RETURN_IF_ERROR(listener->Open());
  return listener;
}

absl::Status SipListener::Open() {
  if (config_.tls) {
    ASSIGN_OR_RETURN(LoadedListener loaded, LoadListener(*config_.tls));
    chain_ = std::move(loaded.chain);
    StreamServerOptions options = config_.tls->server;
    options.tls = std::move(loaded.tls);
    ASSIGN_OR_RETURN(tls_, OpenStream(std::move(options), SipTransport::kTls));
  }
  if (config_.tcp) {
    ASSIGN_OR_RETURN(tcp_, OpenStream(*config_.tcp, SipTransport::kTcp));
  }
  if (config_.udp) {
    ASSIGN_OR_RETURN(udp_, UdpServer::Start(parts_.workers, *config_.udp, ReportDatagrams(parts_.intake)));
  }
  // 0: not listened on.
  parts_.log.Info("SIP_LISTENING", "reports are taken",
                  {{"cluster", config_.cluster},
                   {"address", config_.tcp ? config_.tcp->address : config_.tls->server.address},
                   {"udp_port", udp_ ? udp_->port() : 0},
                   {"tcp_port", tcp_ ? tcp_->port() : 0},
                   {"tls_port", tls_ ? tls_->port() : 0}});
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<StreamServer>> SipListener::OpenStream(StreamServerOptions options,
                                                                      SipTransport transport) {
  options.on_event = [&log = parts_.log](const ConnectionEvent& event) {
    log.Info("SIP_CONNECTION", "a connection ended early",
             {{"kind", ConnectionEventName(event.kind)},
              {"peer", event.peer.ToText()},
              {"listener", event.peer.listener},
              {"detail", event.detail}});
  };
  // All phones of a site may come through one.
  options.is_exempt = [&forwarders = parts_.forwarders](const IpAddress& address) {
    const std::shared_ptr<const Forwarders> current = forwarders.Current();
    return current != nullptr && current->IsForwarder(address);
  };
  return StreamServer::Start(parts_.workers, std::move(options),
                             [&intake = parts_.intake, transport](const Peer& peer) {
                               return std::make_unique<ReportSession>(intake, peer, transport);
                             });
}

std::optional<ManagedListener> SipListener::Managed() {
  if (!tls_) return std::nullopt;
  return ManagedListener{
      .name = tls_->options().name,
      .cluster = config_.cluster,
      .role = CertificateRole::kAppServer,
      .files = config_.tls->files,
      .chain = chain_,
      .admit = [this](const Certificate& certificate) { return parts_.judge.CheckIsAppServer(certificate); },
      .renew = RenewPhoneFacing,
      .prepare = [this](const ListenerCredentials& credentials) { return Prepare(credentials); }};
}

absl::StatusOr<std::function<void()>> SipListener::Prepare(const ListenerCredentials& credentials) {
  ASSIGN_OR_RETURN(const std::shared_ptr<TlsContext> tls,
                   MakeListenerTls(credentials, config_.tls->allow_tls10, config_.tls->ask_client_certificate));
  return std::function<void()>([this, tls] { tls_->UseTls(tls); });
}

std::vector<Metrics::Registration> SipListener::RegisterMetrics(Metrics& metrics) const {
  std::vector<Metrics::Registration> registrations;
  for (const StreamServer* server : {tcp_.get(), tls_.get()}) {
    if (server == nullptr) continue;
    const MetricLabels labels = {{"cluster", config_.cluster}, {"listener", server->options().name}};
    for (auto& registration : RegisterTlsMetrics(metrics, labels, *server)) {
      registrations.push_back(std::move(registration));
    }
  }
  if (udp_) {
    const MetricLabels labels = {{"cluster", config_.cluster}, {"listener", config_.udp->name}};
    const auto counter = [&](const char* name, const char* help, const std::atomic<uint64_t>& value) {
      registrations.push_back(metrics.AddCounterCallback(name, help, labels, value));
    };
    const DatagramStatistics& udp = udp_->statistics();
    counter("trustline_udp_received_total", "Datagrams received.", udp.received);
    counter("trustline_udp_sent_total", "Answers sent.", udp.sent);
    counter("trustline_udp_not_sent_total", "Answers that the network did not take.", udp.not_sent);
    counter("trustline_udp_truncated_total", "Datagrams over the limit, which were left alone.", udp.truncated);
  }
  return registrations;
}

void SipListener::Stop() {
  if (udp_) udp_->Stop();
  if (tcp_) tcp_->Stop();
  if (tls_) tls_->Stop();
}

}  // namespace trustline
