// The phones' enrolment daemon: gives phones their certificates over CAPF, and holds no key that issues any.
#include <filesystem>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "capf/authentication_string.h"
#include "capf/cad_watch.h"
#include "capf/campaign_runner.h"
#include "capf/capf_listener.h"
#include "capf/configuration.h"
#include "capf/database_desk.h"
#include "capf/enrolment_rate.h"
#include "capf/enrolment_service.h"
#include "capf/enrolment_sweeper.h"
#include "capf/issuance_client.h"
#include "capf/metrics.h"
#include "capf/presented_certificates.h"
#include "capf/session_pace.h"
#include "capf/settlement.h"
#include "capf/string_key.h"
#include "capf/work_queue.h"
#include "common/net/io_workers.h"
#include "common/postgres/pool.h"
#include "common/rpc/authorization.h"
#include "common/rpc/call_database.h"
#include "common/rpc/identity_renewal.h"
#include "common/rpc/identity_store.h"
#include "common/rpc/listener_service.h"
#include "common/rpc/server.h"
#include "common/service/audit.h"
#include "common/service/daemon.h"
#include "common/status/status.h"
#include "common/x509/private_key.h"

namespace trustline {
namespace {

// Besides those of the phones' work, which has one for each of its threads.
constexpr int kCallConnections = kMostSchedules + 4;
// The sweeper's, the campaigns', and one for the question whether a listener's certificate is trusted.
constexpr int kBackgroundConnections = 3;
// Phones' admissions that may wait for a thread. With the default number of threads and a database that takes 100 ms,
// the last of them is answered before the listener gives its connection up.
constexpr size_t kMostWaiting = 1'000;
// Of one address, which leaves the others most of them. Phones behind one address are enrolled at the full rate all the
// same when an admission takes less than a quarter of a second.
constexpr size_t kMostWaitingOfAddress = kMostWaiting / 4;
constexpr absl::Duration kStopPatience = absl::Seconds(3);

const DaemonDescription kDescription = {
    .name = "capfd",
    .summary = "Trustline's phones' enrolment: gives phones their certificates over CAPF",
    .example =
        "  [node]\n"
        "  name = \"node1\"\n"
        "  [database]\n"
        "  connection = \"host=/run/postgresql dbname=trustline user=trustline_capfd passfile=database.pgpass\"\n"
        "  [identity]\n"
        "  certificate = \"identity.crt\"\n"
        "  key = \"identity.key\"\n"
        "  authority = \"authority.crt\"\n"
        "  renew_from = \"10.0.0.1:9442\"\n"
        "  [capf]\n"
        "  keep_alive = \"15m\"\n"
        "  string_key = \"authentication-strings.key\"\n"
        "  [[listener]]\n"
        "  cluster = \"default\"\n"
        "  address = \"::\"\n"
        "  port = 3804\n"
        "  certificate = \"capf.crt\"\n"
        "  key = \"capf.key\"\n"
        "  passphrase_file = \"passphrase\"\n"
        "  [services]\n"
        "  cad = \"10.0.0.1:9443\"\n",
    .grpc_port = 9444,
    .metrics_port = 9544,
};

// Makes no key when the configuration is only looked at, perhaps by another user.
absl::StatusOr<std::unique_ptr<AuthenticationStrings>> OpenStrings(const CapfdConfig& config, bool check_only) {
  std::error_code error;
  if (check_only && !std::filesystem::exists(config.string_key, error)) {
    RETURN_IF_ERROR(ReadPassphraseFile(config.string_key_passphrase_file).status());
    return std::unique_ptr<AuthenticationStrings>();
  }
  return AuthenticationStrings::Open(config.string_key, config.string_key_passphrase_file);
}

class Capfd final : public DaemonService {
 public:
  static absl::StatusOr<std::unique_ptr<DaemonService>> Create(DaemonContext& context) {
    ASSIGN_OR_RETURN(CapfdConfig config, ReadCapfdConfig(context.root));
    ASSIGN_OR_RETURN(const LoadedIdentity own, LoadIdentity(context.config.identity));
    if (own.identity.kind != kDescription.name) {
      return InvalidArgument("the identity in {} is {}, not that of a capfd", context.config.identity.certificate,
                             own.identity.ToUri());
    }
    for (const ListenerConfig& listener : config.listeners) RETURN_IF_ERROR(LoadListener(listener).status());
    Parts parts;
    ASSIGN_OR_RETURN(parts.strings, OpenStrings(config, context.check_only));
    ASSIGN_OR_RETURN(parts.cad, IssuanceClient::Create(config.cad, context.config.identity));
    ASSIGN_OR_RETURN(parts.cad_watch,
                     CadWatch::Create(config.cad, context.config.identity, context.log, context.metrics));
    ASSIGN_OR_RETURN(parts.desk_pool,
                     MakeCallPool(context.config, "capfd phones", static_cast<int>(config.work_threads)));
    ASSIGN_OR_RETURN(parts.call_pool, MakeCallPool(context.config, "capfd", kCallConnections));
    ASSIGN_OR_RETURN(parts.background_pool, MakeCallPool(context.config, "capfd background", kBackgroundConnections));
    return std::unique_ptr<DaemonService>(
        new Capfd(context, std::move(config), std::move(parts), own.identity.ToUri()));
  }

  absl::Status Start() override {
    // A database that is away is asked again by the readiness check; until then no string is compared.
    if (const absl::Status taken = TakeKey(); IsOtherStringKey(taken)) return taken;
    MakeDesks();
    authorizer_.Start();
    sweeper_.Start();
    campaigns_.Start();
    parts_.cad_watch->Start();
    ASSIGN_OR_RETURN(workers_, IoWorkers::Start(config_.workers));
    work_ = std::make_unique<WorkQueue>(config_.work_threads, kMostWaiting);
    issuance_work_ = std::make_unique<WorkQueue>(config_.work_threads, kMostWaiting);
    RETURN_IF_ERROR(StartListeners());
    RETURN_IF_ERROR(StartCalls());
    if (!context_.config.identity_renew_from.empty()) {
      renewal_ = std::make_unique<IdentityRenewal>(
          IdentityRenewalOptions{.files = context_.config.identity},
          RenewThroughService(context_.config.identity_renew_from, context_.config.identity), context_.clock,
          context_.log, context_.metrics);
      renewal_->Start();
    }
    // Without cad phones are still served whose operation needs no certificate.
    context_.health.AddReadinessCheck("enrolment", [this] { return AskDatabase(); });
    context_.health.AddReadinessCheck("access", [this] { return authorizer_.Ready(); });
    return absl::OkStatus();
  }

  void Stop() override {
    registrations_.clear();
    for (const auto& listener : listeners_) listener->Stop();
    if (work_) FinishWork();
    if (rpc_server_) EndCalls(*rpc_server_, kStopPatience, {parts_.call_pool.get(), parts_.background_pool.get()});
    if (renewal_) renewal_->Stop();
    parts_.cad_watch->Stop();
    campaigns_.Stop();
    sweeper_.Stop();
    authorizer_.Stop();
    audit_.Stop();
    for (Pool* pool : {parts_.desk_pool.get(), parts_.call_pool.get(), parts_.background_pool.get()}) pool->Shutdown();
  }

 private:
  struct Parts {
    std::unique_ptr<AuthenticationStrings> strings;
    std::unique_ptr<IssuanceClient> cad;
    std::unique_ptr<CadWatch> cad_watch;
    std::unique_ptr<Pool> desk_pool;
    std::unique_ptr<Pool> call_pool;
    std::unique_ptr<Pool> background_pool;
  };

  Capfd(DaemonContext& context, CapfdConfig config, Parts parts, std::string own_uri)
      : context_(context),
        config_(std::move(config)),
        own_uri_(std::move(own_uri)),
        parts_(std::move(parts)),
        audit_({.connection = context.config.database_connection, .application_name = "capfd audit"}, context.clock,
               context.log, context.metrics),
        authorizer_({.connection = context.config.database_connection, .application_name = "capfd access"},
                    context.clock, context.log, context.metrics, audit_),
        rate_(config_.enrolments_per_second, context.clock.Now()),
        pace_({.most_at_once_of_address = kMostWaitingOfAddress}, context.clock),
        presented_(context.config.node, context.clock),
        settlement_(*parts_.desk_pool, *parts_.cad, context.clock, context.log),
        background_settlement_(*parts_.background_pool, *parts_.cad, context.clock, context.log),
        sweeper_({.node = context.config.node, .actor = own_uri_, .also = [this] { return KeepDesks(); }},
                 *parts_.background_pool, background_settlement_, context.clock, context.log, context.metrics),
        campaigns_({.actor = own_uri_}, *parts_.background_pool, context.clock, context.log, context.metrics) {}

  absl::Status TakeKey() {
    ASSIGN_OR_RETURN(const int64_t failed, TakeStringKey(*parts_.call_pool, *parts_.strings, own_uri_,
                                                         config_.replace_string_key, context_.clock.Now()));
    if (failed > 0) {
      context_.log.Warning("CAPF_STRING_KEY_REPLACED", "what waited for a string of the key that was lost has failed",
                           {{"operations", failed}});
    }
    return absl::OkStatus();
  }

  void MakeDesks() {
    for (const std::string& cluster : ClustersOf(config_.listeners)) {
      desks_[cluster] = std::make_unique<DatabaseDesk>(
          DatabaseDeskOptions{.cluster = cluster,
                              .node = context_.config.node,
                              .actor = own_uri_,
                              // The last request in progress, and after it the certificate's store.
                              .longest_session = config_.endpoint.longest_session + 2 * config_.keep_alive},
          DatabaseDeskParts{.pool = *parts_.desk_pool,
                            .cad = *parts_.cad,
                            .strings = *parts_.strings,
                            .settlement = settlement_,
                            .rate = rate_,
                            .audit = audit_,
                            .clock = context_.clock,
                            .log = context_.log,
                            .metrics = context_.metrics});
    }
  }

  absl::Status KeepDesks() {
    absl::Status kept = presented_.Say(*parts_.background_pool);
    for (const auto& [cluster, desk] : desks_) {
      kept.Update(desk->RenewLeases(*parts_.background_pool));
      kept.Update(desk->RecordTold(*parts_.background_pool));
    }
    return kept;
  }

  absl::Status StartListeners() {
    CapfEndpointOptions endpoint = config_.endpoint;
    endpoint.issuance = issuance_work_.get();
    for (const ListenerConfig& config : config_.listeners) {
      ASSIGN_OR_RETURN(listeners_.emplace_back(), CapfListener::Start(config, *desks_.at(config.cluster),
                                                                      {.endpoint = endpoint,
                                                                       .work = *work_,
                                                                       .pace = pace_,
                                                                       .workers = *workers_,
                                                                       .pool = *parts_.background_pool,
                                                                       .presented = presented_,
                                                                       .clock = context_.clock,
                                                                       .log = context_.log}));
      const CapfListener& listener = *listeners_.back();
      for (auto& registration :
           RegisterListenerMetrics(context_.metrics, listener.cluster(), listener.server(), listener.endpoint())) {
        registrations_.push_back(std::move(registration));
      }
    }
    registrations_.push_back(context_.metrics.AddGaugeCallback(
        "trustline_capf_work_waiting", "What phones asked for and no thread has begun.", {},
        [this] { return static_cast<double>(work_->waiting() + issuance_work_->waiting()); }));
    return absl::OkStatus();
  }

  absl::Status StartCalls() {
    ASSIGN_OR_RETURN(enrolment_,
                     EnrolmentService::Create({.authorizer = authorizer_,
                                               .pool = *parts_.call_pool,
                                               .strings = *parts_.strings,
                                               .add_devices =
                                                   [cad = parts_.cad.get()](const std::string& cluster,
                                                                            const std::vector<std::string>& names) {
                                                     return cad->AddDevices(cluster, names);
                                                   },
                                               .audit = audit_,
                                               .clock = context_.clock,
                                               .actor = own_uri_}));
    std::vector<ManagedListener> managed;
    for (const auto& listener : listeners_) managed.push_back(listener->Managed());
    ASSIGN_OR_RETURN(
        listener_service_,
        ListenerService::Create(
            {.authorizer = authorizer_, .audit = audit_, .clock = context_.clock, .metrics = context_.metrics},
            std::move(managed)));
    ASSIGN_OR_RETURN(rpc_server_, RpcServer::Start({.address = context_.config.grpc_address,
                                                    .port = context_.config.grpc_port,
                                                    .identity = context_.config.identity,
                                                    .log = &context_.log},
                                                   {enrolment_.get(), listener_service_.get()}, context_.health));
    context_.log.Info("RPC_LISTENING", "administrators are answered",
                      {{"address", context_.config.grpc_address}, {"port", rpc_server_->port()}});
    return absl::OkStatus();
  }

  // What phones had begun is recorded, unless the database does not take it in time.
  void FinishWork() {
    const std::future<void> finished = std::async(std::launch::async, [this] {
      issuance_work_->Stop();
      work_->Stop();
    });
    if (finished.wait_for(absl::ToChronoMilliseconds(kStopPatience)) != std::future_status::ready) {
      parts_.desk_pool->Shutdown();
    }
    finished.wait();
  }

  absl::Status AskDatabase() {
    static constexpr Statement kAsk = {"capfd_ready", "SELECT FROM capf_operation LIMIT 1"};
    {
      ASSIGN_OR_RETURN(const Pool::Lease lease, parts_.call_pool->Acquire(absl::Seconds(1)));
      RETURN_IF_ERROR(lease->Execute(kAsk).status());
    }
    RETURN_IF_ERROR(TakeKey());
    for (const auto& [cluster, desk] : desks_) RETURN_IF_ERROR(desk->CheckCluster());
    return absl::OkStatus();
  }

  DaemonContext& context_;
  const CapfdConfig config_;
  const std::string own_uri_;
  const Parts parts_;
  AuditQueue audit_;
  Authorizer authorizer_;
  EnrolmentRate rate_;
  SessionPace pace_;
  PresentedCertificates presented_;
  Settlement settlement_;             // by who ends a phone's operation
  Settlement background_settlement_;  // of what is left of that
  EnrolmentSweeper sweeper_;
  CampaignRunner campaigns_;
  std::map<std::string, std::unique_ptr<DatabaseDesk>> desks_;
  std::unique_ptr<IoWorkers> workers_;
  std::unique_ptr<WorkQueue> work_;
  std::unique_ptr<WorkQueue> issuance_work_;  // a cad that is slow holds up no admission for a certificate
  std::vector<std::unique_ptr<CapfListener>> listeners_;
  std::unique_ptr<EnrolmentService> enrolment_;
  std::unique_ptr<ListenerService> listener_service_;
  std::unique_ptr<RpcServer> rpc_server_;
  std::unique_ptr<IdentityRenewal> renewal_;
  std::vector<Metrics::Registration> registrations_;
};

}  // namespace
}  // namespace trustline

int main(int argc, char** argv) {
  return trustline::RunDaemon(argc, argv, trustline::kDescription, trustline::Capfd::Create);
}
