#include "capf/capf_listener.h"

#include "ca/profile/phone_facing.h"
#include "common/bytes/bytes.h"
#include "common/device/certificate_role.h"
#include "common/status/status.h"

namespace trustline {

absl::StatusOr<std::unique_ptr<CapfListener>> CapfListener::Start(const ListenerConfig& config, EnrolmentDesk& desk,
                                                                  const CapfListenerParts& parts) {
  ASSIGN_OR_RETURN(LoadedListener loaded, LoadListener(config));
  std::unique_ptr<CapfListener> listener(new CapfListener(config, parts));
  RETURN_IF_ERROR(listener->Open(std::move(loaded), desk));
  return listener;
}

absl::Status CapfListener::Open(LoadedListener loaded, EnrolmentDesk& desk) {
  chain_ = std::move(loaded.chain);
  StreamServerOptions options = config_.server;
  options.tls = std::move(loaded.tls);
  options.on_event = [&log = parts_.log](const ConnectionEvent& event) {
    log.Info("CAPF_CONNECTION", "a connection ended before its session",
             {{"kind", ConnectionEventName(event.kind)},
              {"peer", event.peer.ToText()},
              {"listener", event.peer.listener},
              {"detail", event.detail}});
  };
  endpoint_ = std::make_unique<CapfEndpoint>(parts_.endpoint, desk, parts_.work, parts_.pace, parts_.clock, parts_.log);
  ASSIGN_OR_RETURN(
      server_, StreamServer::Start(parts_.workers, std::move(options), [endpoint = endpoint_.get()](const Peer& peer) {
        return endpoint->NewSession(peer);
      }));
  parts_.presented.Set(config_.cluster, server_->options().name, chain_.front().sha256());
  parts_.log.Info("CAPF_LISTENING", "phones are enrolled",
                  {{"cluster", config_.cluster},
                   {"address", config_.server.address},
                   {"port", server_->port()},
                   {"tls10", config_.allow_tls10}});
  return absl::OkStatus();
}

ManagedListener CapfListener::Managed() {
  return {.name = server_->options().name,
          .cluster = config_.cluster,
          .role = CertificateRole::kCapf,
          .files = config_.files,
          .chain = chain_,
          .admit = [this](const Certificate& certificate) { return Admit(certificate); },
          .renew = RenewPhoneFacing,
          .prepare = [this](const ListenerCredentials& credentials) { return Prepare(credentials); }};
}

absl::Status CapfListener::Admit(const Certificate& certificate) const {
  static constexpr Statement kIsTrusted = {"capf_certificate_is_trusted",
                                           "SELECT FROM trust_entry JOIN cluster USING (cluster_id)"
                                           " WHERE name = $1 AND sha256 = $2 AND role = $3 AND removed_at IS NULL"};
  const std::string subject = certificate.subject().ToText();
  const auto ask = [&]() -> absl::StatusOr<bool> {
    ASSIGN_OR_RETURN(const Pool::Lease lease, parts_.pool.Acquire());
    ASSIGN_OR_RETURN(const Result result,
                     lease->Execute(kIsTrusted, Parameters()
                                                    .Text(config_.cluster)
                                                    .Bytes(ByteView(certificate.sha256()))
                                                    .Int64(static_cast<int64_t>(CertificateRole::kCapf))));
    return !result.empty();
  };
  const absl::StatusOr<bool> is_trusted = ask();
  if (!is_trusted.ok()) {
    return Unavailable("the database cannot be asked whether {} is trusted: {}", subject,
                       is_trusted.status().message());
  }
  if (*is_trusted) return absl::OkStatus();
  return FailedPrecondition(
      "{} is not trusted with role CAPF on the cluster {} yet: `trustctl trust add --role CAPF FILE`, then again",
      subject, config_.cluster);
}

absl::StatusOr<std::function<void()>> CapfListener::Prepare(const ListenerCredentials& credentials) {
  ASSIGN_OR_RETURN(const std::shared_ptr<TlsContext> tls, MakeListenerTls(credentials, config_.allow_tls10));
  return std::function<void()>([this, tls, sha256 = credentials.chain.front().sha256()] {
    server_->UseTls(tls);
    parts_.presented.Set(config_.cluster, server_->options().name, sha256);
  });
}

}  // namespace trustline
