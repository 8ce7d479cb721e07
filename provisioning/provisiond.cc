// The daemon that hears what phones say of their trust lists, and passes it on to itld. It holds no signing key.
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/net/io_workers.h"
#include "common/rpc/authorization.h"
#include "common/rpc/identity_renewal.h"
#include "common/rpc/identity_store.h"
#include "common/rpc/listener_service.h"
#include "common/rpc/server.h"
#include "common/service/audit.h"
#include "common/service/daemon.h"
#include "common/status/status.h"
#include "provisioning/configuration.h"
#include "provisioning/forwarder_follower.h"
#include "provisioning/metrics.h"
#include "provisioning/report_client.h"
#include "provisioning/sip_listener.h"
#include "provisioning/tvs_judge.h"

namespace trustline {
namespace {

const DaemonDescription kDescription = {
    .name = "provisiond",
    .summary = "Trustline's report listener: hears over SIP which trust lists phones hold",
    .example =
        "  [node]\n"
        "  name = \"node1\"\n"
        "  [database]\n"
        "  connection = \"host=/run/postgresql dbname=trustline user=trustline_provisiond passfile=database.pgpass\"\n"
        "  [identity]\n"
        "  certificate = \"identity.crt\"\n"
        "  key = \"identity.key\"\n"
        "  authority = \"authority.crt\"\n"
        "  renew_from = \"10.0.0.1:9442\"\n"
        "  [[sip_listener]]\n"
        "  cluster = \"default\"\n"
        "  address = \"::\"\n"
        "  port = 5060\n"
        "  tls_port = 5061\n"
        "  certificate = \"provisiond.crt\"\n"
        "  key = \"provisiond.key\"\n"
        "  passphrase_file = \"passphrase\"\n"
        "  [services]\n"
        "  itld = \"10.0.0.1:9442\"\n"
        "  tvsd = \"127.0.0.1:9441\"\n",
    .grpc_port = 9445,
    .metrics_port = 9545,
};

class Provisiond final : public DaemonService {
 public:
  static absl::StatusOr<std::unique_ptr<DaemonService>> Create(DaemonContext& context) {
    ASSIGN_OR_RETURN(ProvisiondConfig config, ReadProvisiondConfig(context.root));
    ASSIGN_OR_RETURN(const LoadedIdentity own, LoadIdentity(context.config.identity));
    if (own.identity.kind != kDescription.name) {
      return InvalidArgument("the identity in {} is {}, not that of a provisiond", context.config.identity.certificate,
                             own.identity.ToUri());
    }
    for (const SipListenerConfig& listener : config.listeners) {
      if (listener.tls) RETURN_IF_ERROR(LoadListener(*listener.tls).status());
    }
    auto service = std::unique_ptr<Provisiond>(new Provisiond(context, std::move(config)));
    RETURN_IF_ERROR(service->MakeClients());
    return service;
  }

  absl::Status Start() override {
    authorizer_.Start();
    follower_.Start();
    for (auto& [name, cluster] : clusters_) cluster.reports->Start();
    ASSIGN_OR_RETURN(workers_, IoWorkers::Start(config_.workers));
    RETURN_IF_ERROR(StartListeners());
    RETURN_IF_ERROR(StartCalls());
    if (!context_.config.identity_renew_from.empty()) {
      renewal_ = std::make_unique<IdentityRenewal>(
          IdentityRenewalOptions{.files = context_.config.identity},
          RenewThroughService(context_.config.identity_renew_from, context_.config.identity), context_.clock,
          context_.log, context_.metrics);
      renewal_->Start();
    }
    // Without tvsd what comes with a client certificate is a claim.
    context_.health.AddReadinessCheck("itld", [this] { return ReachItld(); });
    context_.health.AddReadinessCheck("forwarders", [this] { return follower_.LastStatus(); });
    context_.health.AddReadinessCheck("access", [this] { return authorizer_.Ready(); });
    return absl::OkStatus();
  }

  void Stop() override {
    registrations_.clear();
    for (const auto& listener : listeners_) listener->Stop();
    for (auto& [name, cluster] : clusters_) cluster.judge->Stop();
    for (auto& [name, cluster] : clusters_) cluster.reports->Stop();
    if (rpc_server_) rpc_server_->Shutdown();
    if (renewal_) renewal_->Stop();
    follower_.Stop();
    authorizer_.Stop();
    audit_.Stop();
  }

 private:
  struct Cluster {
    std::unique_ptr<ReportClient> reports;
    std::unique_ptr<TvsJudge> judge;
    std::unique_ptr<ReportIntake> intake;
  };

  Provisiond(DaemonContext& context, ProvisiondConfig config)
      : context_(context),
        config_(std::move(config)),
        audit_({.connection = context.config.database_connection, .application_name = "provisiond audit"},
               context.clock, context.log, context.metrics),
        authorizer_({.connection = context.config.database_connection, .application_name = "provisiond access"},
                    context.clock, context.log, context.metrics, audit_),
        follower_({.connection = context.config.database_connection,
                   .application_name = "provisiond forwarders",
                   .clusters = config_.Clusters()},
                  context.log) {}

  absl::Status MakeClients() {
    for (const std::string& name : config_.Clusters()) {
      Cluster& cluster = clusters_[name];
      ASSIGN_OR_RETURN(
          cluster.reports,
          ReportClient::Create({.itld = config_.itld, .identity = context_.config.identity, .cluster = name},
                               context_.log, context_.metrics));
      ASSIGN_OR_RETURN(cluster.judge,
                       TvsJudge::Create({.tvsd = config_.tvsd, .identity = context_.config.identity, .cluster = name},
                                        context_.log, context_.metrics));
      cluster.intake = std::make_unique<ReportIntake>(*cluster.reports, *cluster.judge, follower_.Of(name),
                                                      config_.pace, context_.clock, context_.log);
    }
    return absl::OkStatus();
  }

  absl::Status StartListeners() {
    for (const SipListenerConfig& config : config_.listeners) {
      const Cluster& cluster = clusters_.at(config.cluster);
      ASSIGN_OR_RETURN(listeners_.emplace_back(),
                       SipListener::Start(config, {.intake = *cluster.intake,
                                                   .forwarders = follower_.Of(config.cluster),
                                                   .judge = *cluster.judge,
                                                   .workers = *workers_,
                                                   .log = context_.log}));
      Keep(listeners_.back()->RegisterMetrics(context_.metrics));
    }
    for (const auto& [name, cluster] : clusters_) {
      Keep(RegisterSipMetrics(context_.metrics, name, *cluster.intake->statistics()));
    }
    return absl::OkStatus();
  }

  absl::Status StartCalls() {
    std::vector<ManagedListener> managed;
    for (const auto& listener : listeners_) {
      if (std::optional<ManagedListener> one = listener->Managed()) managed.push_back(*std::move(one));
    }
    ASSIGN_OR_RETURN(
        listener_service_,
        ListenerService::Create(
            {.authorizer = authorizer_, .audit = audit_, .clock = context_.clock, .metrics = context_.metrics},
            std::move(managed)));
    ASSIGN_OR_RETURN(rpc_server_, RpcServer::Start({.address = context_.config.grpc_address,
                                                    .port = context_.config.grpc_port,
                                                    .identity = context_.config.identity,
                                                    .log = &context_.log},
                                                   {listener_service_.get()}, context_.health));
    context_.log.Info("RPC_LISTENING", "administrators are answered",
                      {{"address", context_.config.grpc_address}, {"port", rpc_server_->port()}});
    return absl::OkStatus();
  }

  absl::Status ReachItld() const {
    for (const auto& [name, cluster] : clusters_) RETURN_IF_ERROR(cluster.reports->Reachable());
    return absl::OkStatus();
  }

  void Keep(std::vector<Metrics::Registration> registrations) {
    for (auto& registration : registrations) registrations_.push_back(std::move(registration));
  }

  DaemonContext& context_;
  const ProvisiondConfig config_;
  AuditQueue audit_;
  Authorizer authorizer_;
  ForwarderFollower follower_;
  std::map<std::string, Cluster> clusters_;
  std::unique_ptr<IoWorkers> workers_;
  std::vector<std::unique_ptr<SipListener>> listeners_;
  std::unique_ptr<ListenerService> listener_service_;
  std::unique_ptr<RpcServer> rpc_server_;
  std::unique_ptr<IdentityRenewal> renewal_;
  std::vector<Metrics::Registration> registrations_;
};

}  // namespace
}  // namespace trustline

int main(int argc, char** argv) {
  return trustline::RunDaemon(argc, argv, trustline::kDescription, trustline::Provisiond::Create);
}
