#include "tvs/phone_listener.h"

#include <chrono>
#include <future>

#include "ca/profile/phone_facing.h"
#include "common/status/status.h"
#include "tvs/verdict.h"

namespace trustline {
namespace {

// For the database's answer whether there is something newer.
constexpr std::chrono::seconds kPatience{5};

}  // namespace

absl::StatusOr<std::unique_ptr<PhoneListener>> PhoneListener::Start(const ListenerConfig& config,
                                                                    const PhoneListenerParts& parts) {
  ASSIGN_OR_RETURN(LoadedListener loaded, LoadListener(config));
  std::unique_ptr<PhoneListener> listener(new PhoneListener(config, parts));
  RETURN_IF_ERROR(listener->Open(std::move(loaded)));
  return listener;
}

absl::Status PhoneListener::Open(LoadedListener loaded) {
  chain_ = std::move(loaded.chain);
  StreamServerOptions options = config_.server;
  options.tls = std::move(loaded.tls);
  options.on_event = [&log = parts_.log](const ConnectionEvent& event) {
    log.Info("TVS_CONNECTION", "a connection ended without an answer",
             {{"kind", ConnectionEventName(event.kind)},
              {"peer", event.peer.ToText()},
              {"listener", event.peer.listener},
              {"detail", event.detail}});
  };
  endpoint_ = std::make_unique<TvsEndpoint>(cluster_, parts_.follower, parts_.freshness, parts_.workers.size(),
                                            parts_.clock, parts_.log, parts_.questions);
  ASSIGN_OR_RETURN(
      server_, StreamServer::Start(parts_.workers, std::move(options), [endpoint = endpoint_.get()](const Peer& peer) {
        return endpoint->NewSession(peer);
      }));
  parts_.log.Info("TVS_LISTENING", "phones are answered",
                  {{"cluster", config_.cluster},
                   {"address", config_.server.address},
                   {"port", server_->port()},
                   {"tls10", config_.allow_tls10}});
  return absl::OkStatus();
}

ManagedListener PhoneListener::Managed() {
  return {.name = server_->options().name,
          .cluster = config_.cluster,
          .role = CertificateRole::kTvs,
          .files = config_.files,
          .chain = Chain(),
          .admit = [this](const Certificate& certificate) { return Admit(certificate); },
          .renew = RenewPhoneFacing,
          .prepare = [this](const ListenerCredentials& credentials) { return Prepare(credentials); }};
}

absl::Status PhoneListener::Ready() const {
  if (FreshnessOf(cluster_.Age(), parts_.freshness) != Freshness::kFresh) {
    return Unavailable("the trust store of cluster {} is not up to date", config_.cluster);
  }
  const Certificate certificate = Chain().front();
  const auto snapshot = cluster_.Snapshot();
  const TrustVerdict verdict = JudgeCertificate(*snapshot, certificate.der(), parts_.clock.Now());
  if (verdict.reason != InvalidReason::kMalformed) return absl::OkStatus();
  return Internal("no verdict on the certificate of listener {}", config_.server.name);
}

std::vector<Certificate> PhoneListener::Chain() const {
  const std::lock_guard lock(chain_mutex_);
  return chain_;
}

std::optional<std::string> PhoneListener::WhyNotTrusted(const Certificate& certificate) const {
  const auto snapshot = cluster_.Snapshot();
  TrustVerdict verdict = JudgeCertificate(*snapshot, certificate.der(), parts_.clock.Now());
  RequireRole(verdict, CertificateRole::kTvs);
  if (verdict.valid) return std::nullopt;
  return ExplainVerdict(verdict);
}

absl::Status PhoneListener::Admit(const Certificate& certificate) const {
  const std::string subject = certificate.subject().ToText();
  if (FreshnessOf(cluster_.Age(), parts_.freshness) == Freshness::kStale) {
    return Unavailable(
        "this node has not reached the database for longer than its age limit: whether {} is trusted is "
        "not known",
        subject);
  }
  // It may have been trusted, or removed, a moment ago. While the database is away the snapshot decides, as for phones.
  std::future<absl::Status> answer = parts_.follower.Confirm(cluster_);
  const bool answered = answer.wait_for(kPatience) == std::future_status::ready;
  const absl::Status confirmed = answered ? answer.get() : DeadlineExceeded("no answer in {} s", kPatience.count());
  const std::optional<std::string> reason = WhyNotTrusted(certificate);
  if (!reason) return absl::OkStatus();
  if (!confirmed.ok()) {
    return Unavailable("the database cannot be asked whether {} is trusted: {}", subject, confirmed.message());
  }
  return FailedPrecondition(
      "{} is not trusted with role TVS on the cluster {} yet ({}): `trustctl trust add --role TVS FILE`, then again",
      subject, config_.cluster, *reason);
}

absl::StatusOr<std::function<void()>> PhoneListener::Prepare(const ListenerCredentials& credentials) {
  ASSIGN_OR_RETURN(const std::shared_ptr<TlsContext> tls, MakeListenerTls(credentials, config_.allow_tls10));
  return std::function<void()>([this, tls, chain = credentials.chain] {
    server_->UseTls(tls);
    const std::lock_guard lock(chain_mutex_);
    chain_ = chain;
  });
}

}  // namespace trustline
