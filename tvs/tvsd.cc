// The Trust Verification Service daemon.
#include <algorithm>
#include <future>
#include <optional>

#include "common/net/io_workers.h"
#include "common/rpc/authorization.h"
#include "common/rpc/identity_renewal.h"
#include "common/rpc/identity_store.h"
#include "common/rpc/listener_service.h"
#include "common/rpc/server.h"
#include "common/service/audit.h"
#include "common/service/daemon.h"
#include "common/status/status.h"
#include "tvs/announcement.h"
#include "tvs/configuration.h"
#include "tvs/crl_downloads.h"
#include "tvs/crl_endpoint.h"
#include "tvs/metrics.h"
#include "tvs/phone_listener.h"
#include "tvs/presentation_judge.h"
#include "tvs/question_counter.h"
#include "tvs/question_flusher.h"
#include "tvs/trust_follower.h"
#include "tvs/verification_service.h"

namespace trustline {
namespace {

constexpr std::chrono::seconds kReadinessPatience{2};

const DaemonDescription kDescription = {
    .name = "tvsd",
    .summary = "Trustline's Trust Verification Service: tells phones whether a certificate is good",
    .example =
        "  [node]\n"
        "  name = \"node1\"\n"
        "  [database]\n"
        "  connection = \"host=/run/postgresql dbname=trustline user=trustline_tvsd passfile=database.pgpass\"\n"
        "  [identity]\n"
        "  certificate = \"identity.crt\"\n"
        "  key = \"identity.key\"\n"
        "  authority = \"authority.crt\"\n"
        "  renew_from = \"10.0.0.1:9442\"\n"
        "  [tvs]\n"
        "  age_limit = \"1h\"\n"
        "  [[listener]]\n"
        "  cluster = \"default\"\n"
        "  address = \"::\"\n"
        "  port = 2445\n"
        "  certificate = \"tvs.crt\"\n"
        "  key = \"tvs.key\"\n"
        "  passphrase_file = \"passphrase\"\n"
        "  [crl]\n"
        "  port = 9480\n",
    .grpc_port = 9441,
    .metrics_port = 9541,
};

class Tvsd final : public DaemonService {
 public:
  Tvsd(DaemonContext& context, TvsdConfig config, const std::string& audit_connection)
      : context_(context),
        config_(std::move(config)),
        crl_counters_(context.metrics),
        audit_({.connection = audit_connection, .application_name = "tvsd audit"}, context.clock, context.log,
               context.metrics),
        authorizer_({.connection = context.config.database_connection, .application_name = "tvsd access"},
                    context.clock, context.log, context.metrics, audit_),
        follower_({.connection = context.config.database_connection,
                   .application_name = "tvsd",
                   .clusters = ClustersOf(config_.listeners)},
                  context.log) {}

  absl::Status Start() override {
    follower_.Start();
    authorizer_.Start();
    ASSIGN_OR_RETURN(workers_, IoWorkers::Start(config_.workers));
    const bool has_itld = !context_.config.identity_renew_from.empty();
    // Counted for itld only: a node without one would keep what nobody fetches.
    if (has_itld) questions_.emplace(workers_->size(), follower_.clusters());
    for (const ListenerConfig& config : config_.listeners) {
      ASSIGN_OR_RETURN(listeners_.emplace_back(),
                       PhoneListener::Start(config, {.follower = follower_,
                                                     .workers = *workers_,
                                                     .freshness = config_.freshness,
                                                     .clock = context_.clock,
                                                     .log = context_.log,
                                                     .questions = questions_ ? &*questions_ : nullptr}));
    }
    if (config_.crl) RETURN_IF_ERROR(StartCrlListener(*config_.crl));
    ASSIGN_OR_RETURN(verification_, VerificationService::Create(context_.config.node, follower_, config_.freshness,
                                                                context_.clock, authorizer_));
    if (has_itld) {
      ASSIGN_OR_RETURN(const LoadedIdentity own, LoadIdentity(context_.config.identity));
      question_flusher_ = std::make_unique<QuestionFlusher>(
          QuestionFlusherOptions{.itld = context_.config.identity_renew_from,
                                 .identity = context_.config.identity,
                                 .node = own.identity.name,
                                 .presented = [this](const std::string& cluster) { return PresentedTo(cluster); }},
          *questions_, context_.log);
    }
    std::vector<ManagedListener> managed;
    for (const auto& listener : listeners_) managed.push_back(listener->Managed());
    ASSIGN_OR_RETURN(listener_service_, ListenerService::Create({.authorizer = authorizer_,
                                                                 .audit = audit_,
                                                                 .clock = context_.clock,
                                                                 .metrics = context_.metrics,
                                                                 .guard = JudgePresentations()},
                                                                std::move(managed)));
    ASSIGN_OR_RETURN(rpc_server_, RpcServer::Start({.address = context_.config.grpc_address,
                                                    .port = context_.config.grpc_port,
                                                    .identity = context_.config.identity,
                                                    .log = &context_.log},
                                                   {verification_.get(), listener_service_.get()}, context_.health));
    context_.log.Info("RPC_LISTENING", "programs are answered",
                      {{"address", context_.config.grpc_address}, {"port", rpc_server_->port()}});
    if (has_itld) {
      renewal_ = std::make_unique<IdentityRenewal>(
          IdentityRenewalOptions{.files = context_.config.identity},
          RenewThroughService(context_.config.identity_renew_from, context_.config.identity), context_.clock,
          context_.log, context_.metrics);
      renewal_->Start();
      announcement_.emplace(
          AnnouncementOptions{.itld = context_.config.identity_renew_from,
                              .identity = context_.config.identity,
                              .host = HostToAnnounce(config_.grpc_advertise, context_.config.grpc_address),
                              .port = rpc_server_->port()},
          context_.log);
      announcement_->Start();
      question_flusher_->Start();
    } else {
      context_.log.Info("GRPC_ANNOUNCEMENT_OFF", "no itld is told where this node answers gRPC",
                        {{"reason", "[identity] renew_from is not set"}});
    }
    registrations_ = RegisterFollowerMetrics(context_.metrics, follower_);
    if (question_flusher_) {
      for (auto& registration : RegisterQuestionMetrics(context_.metrics, *question_flusher_)) {
        registrations_.push_back(std::move(registration));
      }
    }
    for (const auto& listener : listeners_) {
      for (auto& registration :
           RegisterListenerMetrics(context_.metrics, listener->cluster(), listener->server(), listener->endpoint())) {
        registrations_.push_back(std::move(registration));
      }
    }
    context_.health.AddReadinessCheck("trust store", [this] { return GiveVerdicts(); });
    context_.health.AddReadinessCheck("access", [this] { return authorizer_.Ready(); });
    return absl::OkStatus();
  }

  void Stop() override {
    registrations_.clear();
    for (const auto& listener : listeners_) listener->Stop();
    if (crl_endpoint_) crl_endpoint_->Stop();
    if (crl_downloads_) crl_downloads_->Stop();
    follower_.Stop();
    if (rpc_server_) rpc_server_->Shutdown();
    if (announcement_) announcement_->Stop();
    if (question_flusher_) question_flusher_->Stop();
    if (renewal_) renewal_->Stop();
    authorizer_.Stop();
    audit_.Stop();
  }

 private:
  absl::Status StartCrlListener(const CrlListenerConfig& config) {
    ASSIGN_OR_RETURN(crl_downloads_, CrlDownloads::Create({.connection = context_.config.database_connection,
                                                           .application_name = "tvsd crl"},
                                                          context_.clock, context_.log));
    ASSIGN_OR_RETURN(crl_endpoint_, CrlEndpoint::Start(config, *crl_downloads_, crl_counters_));
    context_.log.Info("CRL_LISTENING", "CRLs are served over HTTP",
                      {{"address", config.address}, {"port", crl_endpoint_->port()}});
    return absl::OkStatus();
  }

  // Now, or as it would be once the presentation is made.
  std::vector<Sha256Digest> PresentedTo(const std::string& cluster, const Presentation* presentation = nullptr) const {
    std::vector<Sha256Digest> certificates;
    for (const auto& listener : listeners_) {
      if (listener->cluster() != cluster) continue;
      const bool is_new =
          presentation != nullptr && std::ranges::find(presentation->listeners, listener->server().options().name) !=
                                         presentation->listeners.end();
      certificates.push_back(is_new ? presentation->certificate.sha256() : listener->presented());
    }
    return certificates;
  }

  PresentationGuard JudgePresentations() {
    presentation_judge_.emplace(
        PresentationJudgeOptions{
            .itld = context_.config.identity_renew_from,
            .identity = context_.config.identity,
            .presented = [this](const std::string& cluster,
                                const Presentation& presentation) { return PresentedTo(cluster, &presentation); }},
        context_.log);
    return [this](const Presentation& presentation,
                  google::protobuf::RepeatedPtrField<v1::ListenerPreFlight>& preflights) {
      return presentation_judge_->Judge(presentation, preflights);
    };
  }

  // A real question to the database about each cluster, then a real verdict on each listener's own certificate.
  absl::Status GiveVerdicts() {
    std::vector<std::future<absl::Status>> answers;
    for (const auto& cluster : follower_.clusters()) answers.push_back(follower_.Confirm(*cluster));
    const auto deadline = std::chrono::steady_clock::now() + kReadinessPatience;
    for (std::future<absl::Status>& answer : answers) {
      if (answer.wait_until(deadline) != std::future_status::ready) {
        return DeadlineExceeded("the database has not answered within {} s", kReadinessPatience.count());
      }
      RETURN_IF_ERROR(answer.get());
    }
    for (const auto& listener : listeners_) RETURN_IF_ERROR(listener->Ready());
    return absl::OkStatus();
  }

  DaemonContext& context_;
  const TvsdConfig config_;
  const CrlDownloadCounters crl_counters_;  // there, at zero, also on a node that serves none
  AuditQueue audit_;
  Authorizer authorizer_;
  TrustFollower follower_;
  std::optional<QuestionCounter> questions_;
  std::unique_ptr<IoWorkers> workers_;
  std::vector<std::unique_ptr<PhoneListener>> listeners_;
  std::unique_ptr<CrlDownloads> crl_downloads_;
  std::unique_ptr<CrlEndpoint> crl_endpoint_;
  std::unique_ptr<VerificationService> verification_;
  std::optional<PresentationJudge> presentation_judge_;
  std::unique_ptr<ListenerService> listener_service_;
  std::unique_ptr<RpcServer> rpc_server_;
  std::unique_ptr<IdentityRenewal> renewal_;
  std::optional<Announcement> announcement_;
  std::unique_ptr<QuestionFlusher> question_flusher_;
  std::vector<Metrics::Registration> registrations_;
};

absl::StatusOr<std::unique_ptr<DaemonService>> BuildTvsd(DaemonContext& context) {
  ASSIGN_OR_RETURN(TvsdConfig config, ReadTvsdConfig(context.root));
  // Where the connection is a replica's, denials must be written elsewhere.
  ASSIGN_OR_RETURN(ConfigTable database, context.root.Table("database"));
  ASSIGN_OR_RETURN(const std::string audit_connection,
                   database.TextOr("audit_connection", context.config.database_connection));
  for (const ListenerConfig& listener : config.listeners) RETURN_IF_ERROR(LoadListener(listener).status());
  return std::make_unique<Tvsd>(context, std::move(config), audit_connection);
}

}  // namespace
}  // namespace trustline

int main(int argc, char** argv) {
  return trustline::RunDaemon(argc, argv, trustline::kDescription, trustline::BuildTvsd);
}
