// The daemon that writes: trust store, trust lists, access, nodes, audit chain. It holds the identity authority and the
// keys that sign trust lists.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/postgres/pool.h"
#include "common/rpc/authorization.h"
#include "common/rpc/call_database.h"
#include "common/rpc/identity_authority.h"
#include "common/rpc/identity_renewal.h"
#include "common/rpc/identity_store.h"
#include "common/rpc/server.h"
#include "common/service/audit.h"
#include "common/service/daemon.h"
#include "common/service/key_folder.h"
#include "common/status/status.h"
#include "itl/access/access_service.h"
#include "itl/adoption/adoption_service.h"
#include "itl/audit/audit_service.h"
#include "itl/audit/sealer.h"
#include "itl/list/list_publisher.h"
#include "itl/list/node_vouching.h"
#include "itl/list/trust_list_service.h"
#include "itl/move/cluster_trust_service.h"
#include "itl/node/node_service.h"
#include "itl/phone/phone_trust_service.h"
#include "itl/phone/phone_upkeep.h"
#include "itl/phone/publication_review.h"
#include "itl/plan/plan_engine.h"
#include "itl/plan/plan_runner.h"
#include "itl/plan/plan_service.h"
#include "itl/preflight/list_memory.h"
#include "itl/preflight/preflight_gate.h"
#include "itl/question/question_service.h"
#include "itl/reset/reset_hooks.h"
#include "itl/reset/reset_runner.h"
#include "itl/reset/reset_service.h"
#include "itl/trust_store/trust_store_service.h"

namespace trustline {
namespace {

constexpr int kConnections = 8;
constexpr int kImportsAtOnce = 2;
constexpr int kListConnections = 4;
// Each stream of reports works on one, and takes a second for holdings that are new.
constexpr int kReportConnections = 6;
// A thousand lists in one statement.
constexpr absl::Duration kListStatementTimeout = absl::Minutes(1);
// 100,000 certificates take a few seconds in one statement; a loaded machine is given ten times that.
constexpr absl::Duration kImportStatementTimeout = absl::Minutes(2);
constexpr absl::Duration kStopPatience = absl::Seconds(3);

const DaemonDescription kDescription = {
    .name = "itld",
    .summary = "Trustline's administration of trust: trust store, trust lists, access, nodes and the audit log",
    .example =
        "  [node]\n"
        "  name = \"node1\"\n"
        "  [database]\n"
        "  connection = \"host=/run/postgresql dbname=trustline user=trustline_itld passfile=database.pgpass\"\n"
        "  [identity]\n"
        "  certificate = \"identity.crt\"\n"
        "  key = \"identity.key\"\n"
        "  authority = \"authority.crt\"\n"
        "  [identity_authority]\n"
        "  certificate = \"identity-authority.crt\"\n"
        "  key = \"identity-authority.key\"\n"
        "  passphrase_file = \"passphrase\"\n"
        "  [audit]\n"
        "  seal_file = \"audit-seals\"\n"
        "  [trust_lists]\n"
        "  keys = \"list-keys\"\n"
        "  passphrase_file = \"passphrase\"\n"
        "  [resets.hooks]\n"
        "  asterisk = \"/etc/trustline/hooks/asterisk-ami\"\n",
    .grpc_port = 9442,
    .metrics_port = 9542,
    .issues_identities = true,
};

struct ItldConfig {
  std::string authority_certificate;
  std::string authority_key;
  std::string authority_passphrase_file;
  std::string seal_file;
  std::string list_keys;  // empty: trust lists are made elsewhere
  std::string list_passphrase_file;
  ListPublisherOptions lists;
  PhoneUpkeepOptions phones;
  ResetHooks hooks;
  PlanRunnerOptions plans;
};

absl::StatusOr<ItldConfig> ReadConfig(ConfigTable root) {
  ItldConfig config;
  ASSIGN_OR_RETURN(ConfigTable authority, root.Table("identity_authority"));
  ASSIGN_OR_RETURN(config.authority_certificate, authority.Path("certificate"));
  ASSIGN_OR_RETURN(config.authority_key, authority.Path("key"));
  ASSIGN_OR_RETURN(config.authority_passphrase_file, authority.PassphrasePathOr("passphrase", ""));
  ASSIGN_OR_RETURN(ConfigTable audit, root.Table("audit"));
  ASSIGN_OR_RETURN(config.seal_file, audit.Path("seal_file"));
  if (root.Has("trust_lists")) {
    ASSIGN_OR_RETURN(ConfigTable lists, root.Table("trust_lists"));
    ASSIGN_OR_RETURN(config.list_keys, lists.Path("keys"));
    ASSIGN_OR_RETURN(config.list_passphrase_file, lists.PassphrasePath("passphrase"));
    ASSIGN_OR_RETURN(config.lists.quiet_time,
                     lists.DurationOr("quiet_time", config.lists.quiet_time, absl::ZeroDuration(), absl::Hours(24)));
  }
  if (root.Has("phones")) {
    ASSIGN_OR_RETURN(ConfigTable phones, root.Table("phones"));
    ASSIGN_OR_RETURN(config.phones.history, phones.DurationOr("history", config.phones.history, absl::Hours(24 * 31),
                                                              absl::Hours(24 * 366 * 20)));
    ASSIGN_OR_RETURN(
        config.phones.adoption_interval,
        phones.DurationOr("adoption_interval", config.phones.adoption_interval, absl::Seconds(1), absl::Hours(24)));
  }
  if (root.Has("plans")) {
    ASSIGN_OR_RETURN(ConfigTable plans, root.Table("plans"));
    ASSIGN_OR_RETURN(config.plans.interval,
                     plans.DurationOr("interval", config.plans.interval, absl::Milliseconds(10), absl::Hours(1)));
    ASSIGN_OR_RETURN(config.plans.patience,
                     plans.DurationOr("patience", config.plans.patience, absl::Milliseconds(10), absl::Hours(1)));
  }
  ASSIGN_OR_RETURN(ConfigTable resets, root.Table("resets"));
  ASSIGN_OR_RETURN(config.hooks, ResetHooks::Read(std::move(resets)));
  return config;
}

class Itld final : public DaemonService {
 public:
  static absl::StatusOr<std::unique_ptr<Itld>> Create(DaemonContext& context) {
    ASSIGN_OR_RETURN(ItldConfig config, ReadConfig(context.root));
    ASSIGN_OR_RETURN(
        IdentityAuthority authority,
        IdentityAuthority::Load(config.authority_certificate, config.authority_key, config.authority_passphrase_file));
    ASSIGN_OR_RETURN(const LoadedIdentity own, LoadIdentity(context.config.identity));
    if (own.identity.kind != kDescription.name) {
      return InvalidArgument("the identity in {} is {}, not that of an itld", context.config.identity.certificate,
                             own.identity.ToUri());
    }
    if (!(own.authority == authority.certificate())) {
      return InvalidArgument("{} and {} are different authorities: itld's own identity comes from the one it holds",
                             context.config.identity.authority, config.authority_certificate);
    }
    ASSIGN_OR_RETURN(std::unique_ptr<Pool> pool, MakeCallPool(context.config, "itld", kConnections));
    ASSIGN_OR_RETURN(std::unique_ptr<Pool> import_pool,
                     MakeCallPool(context.config, "itld import", kImportsAtOnce, kImportStatementTimeout));
    ASSIGN_OR_RETURN(std::unique_ptr<Pool> report_pool,
                     MakeCallPool(context.config, "itld phones", kReportConnections));
    std::unique_ptr<Pool> list_pool;
    std::unique_ptr<KeyFolder> list_keys;
    if (!config.list_keys.empty()) {
      ASSIGN_OR_RETURN(list_keys, KeyFolder::Open(config.list_keys, config.list_passphrase_file,
                                                  {.contents = "the keys of trust lists", .owner = "itld"}));
      ASSIGN_OR_RETURN(list_pool, MakeCallPool(context.config, "itld lists", kListConnections, kListStatementTimeout));
    }
    auto itld = std::unique_ptr<Itld>(new Itld(context, std::move(config), std::move(authority), own.identity,
                                               std::move(pool), std::move(import_pool), std::move(report_pool),
                                               std::move(list_pool), std::move(list_keys)));
    RETURN_IF_ERROR(itld->MakeServices());
    return itld;
  }

  absl::Status Start() override {
    RETURN_IF_ERROR(sealer_.Start());
    authorizer_.Start();
    ASSIGN_OR_RETURN(
        rpc_server_,
        RpcServer::Start(
            {.address = context_.config.grpc_address,
             .port = context_.config.grpc_port,
             .identity = context_.config.identity,
             // A machine that joins has no identity yet.
             .client_certificate = ClientCertificate::kOptional,
             .log = &context_.log,
             .on_no_identity = [this](std::string_view method) { authorizer_.DenyWithoutIdentity(method); }},
            {trust_store_.get(), audit_service_.get(), access_.get(), node_.get(), trust_lists_.get(),
             phone_trust_.get(), questions_.get(), adoption_.get(), resets_.get(), plans_.get(), cluster_trust_.get()},
            context_.health));
    if (publisher_) {
      // A key that cannot be used keeps its lists as they are, and nothing else.
      if (const absl::Status keys = list_keys_->CheckAll(); !keys.ok()) {
        context_.log.Error("ITL_KEY_UNUSABLE", "a key of trust lists cannot be used: what it signs stays as it is",
                           {{"reason", keys}});
      }
      publisher_->Start();
      plan_runner_->Start();
    }
    upkeep_.Start();
    reset_runner_.Start();
    renewal_.Start();
    context_.log.Info("RPC_LISTENING", "administrators are answered",
                      {{"address", context_.config.grpc_address}, {"port", rpc_server_->port()}});
    context_.health.AddReadinessCheck("database", [this] { return AskDatabase(); });
    context_.health.AddReadinessCheck("access", [this] { return authorizer_.Ready(); });
    context_.health.AddReadinessCheck("audit", [this] { return sealer_.Ready(); });
    return absl::OkStatus();
  }

  void Stop() override {
    std::vector<Pool*> pools = {pool_.get(), import_pool_.get(), report_pool_.get()};
    if (list_pool_) pools.push_back(list_pool_.get());
    phone_trust_->Stop();
    reset_runner_.Stop();
    if (plan_runner_) plan_runner_->Stop();
    if (rpc_server_) EndCalls(*rpc_server_, kStopPatience, pools);
    if (publisher_) publisher_->Stop();
    upkeep_.Stop();
    renewal_.Stop();
    authorizer_.Stop();
    audit_.Stop();
    sealer_.Stop();
    pool_->Shutdown();
    import_pool_->Shutdown();
    report_pool_->Shutdown();
    if (list_pool_) list_pool_->Shutdown();
  }

 private:
  Itld(DaemonContext& context, ItldConfig config, IdentityAuthority authority, Identity own, std::unique_ptr<Pool> pool,
       std::unique_ptr<Pool> import_pool, std::unique_ptr<Pool> report_pool, std::unique_ptr<Pool> list_pool,
       std::unique_ptr<KeyFolder> list_keys)
      : context_(context),
        config_(std::move(config)),
        authority_(std::move(authority)),
        pool_(std::move(pool)),
        import_pool_(std::move(import_pool)),
        report_pool_(std::move(report_pool)),
        list_pool_(std::move(list_pool)),
        list_keys_(std::move(list_keys)),
        audit_({.connection = context.config.database_connection, .application_name = "itld audit"}, context.clock,
               context.log, context.metrics),
        authorizer_({.connection = context.config.database_connection, .application_name = "itld access"},
                    context.clock, context.log, context.metrics, audit_),
        sealer_({.connection = context.config.database_connection,
                 .seal_file = config_.seal_file,
                 .authority = authority_.certificate()},
                context.clock, context.log, context.metrics),
        renewal_(
            {.files = context.config.identity},
            [this, own](const CertificateRequest& request) {
              return authority_.IssueIdentity(request, own, context_.clock.Now());
            },
            context.clock, context.log, context.metrics),
        holdings_(*report_pool_),
        review_(*pool_, holdings_, context.clock, context.log),
        upkeep_(config_.phones, *report_pool_, context.clock, context.log, context.metrics),
        reset_runner_({.actor = own.ToUri(), .history = config_.phones.history}, config_.hooks, *pool_, *import_pool_,
                      context.clock, context.log, context.metrics),
        gate_(list_memory_, list_keys_.get(), context.clock, context.log, context.metrics, &audit_) {
    if (!list_keys_) return;
    ListPublisherOptions lists = config_.lists;
    lists.guard = &gate_;
    lists.on_compared = [this](int32_t cluster_id, const std::string& cluster) { review_.Review(cluster_id, cluster); };
    vouching_ = std::make_unique<NodeVouching>(*list_pool_, context.config.identity);
    publisher_ = std::make_unique<ListPublisher>(
        std::move(lists), *list_pool_, *list_keys_,
        [this](const std::string& cluster, const Certificate& signer, const std::vector<std::string>& without) {
          return vouching_->Check(cluster, signer, without);
        },
        own.ToUri(), context.clock, context.log, context.metrics);
    plan_engine_ = std::make_unique<PlanEngine>(
        PlanParts{.pool = *list_pool_,
                  .keys = *list_keys_,
                  .publisher = *publisher_,
                  .guard = gate_,
                  .nodes = [this](const std::string& cluster, const Certificate& certificate,
                                  CertificateRole role) { return vouching_->Check(cluster, certificate, {}, role); },
                  .hooks = config_.hooks,
                  .clock = context.clock},
        context.log);
    plan_runner_ = std::make_unique<PlanRunner>(config_.plans, *plan_engine_, context.log, context.metrics);
  }

  absl::Status MakeServices() {
    ASSIGN_OR_RETURN(trust_store_, TrustStoreService::Create(authorizer_, *pool_, *import_pool_, context_.clock,
                                                             kImportPatience, &gate_));
    ASSIGN_OR_RETURN(audit_service_,
                     AuditService::Create(authorizer_, *pool_, *import_pool_, authority_, config_.seal_file));
    ASSIGN_OR_RETURN(access_, AccessService::Create(authorizer_, *pool_, authority_, context_.clock));
    ASSIGN_OR_RETURN(node_, NodeService::Create({.authorizer = authorizer_,
                                                 .pool = *pool_,
                                                 .authority = authority_,
                                                 .audit = audit_,
                                                 .clock = context_.clock,
                                                 .log = context_.log,
                                                 .metrics = context_.metrics,
                                                 .guard = &gate_}));
    ASSIGN_OR_RETURN(trust_lists_, TrustListService::Create({.authorizer = authorizer_,
                                                             .pool = list_pool_ ? *list_pool_ : *pool_,
                                                             .publisher = publisher_.get(),
                                                             .keys = list_keys_.get(),
                                                             .clock = context_.clock,
                                                             .guard = &gate_}));
    ASSIGN_OR_RETURN(questions_, QuestionService::Create(authorizer_, *pool_, context_.clock));
    ASSIGN_OR_RETURN(resets_, ResetService::Create({.authorizer = authorizer_,
                                                    .pool = *pool_,
                                                    .import_pool = *import_pool_,
                                                    .hooks = config_.hooks,
                                                    .clock = context_.clock}));
    ASSIGN_OR_RETURN(cluster_trust_, ClusterTrustService::Create(authorizer_, *pool_, context_.clock));
    ASSIGN_OR_RETURN(plans_, PlanService::Create({.authorizer = authorizer_,
                                                  .pool = list_pool_ ? *list_pool_ : *pool_,
                                                  .engine = plan_engine_.get(),
                                                  .runner = plan_runner_.get()}));
    return MakePhoneServices();
  }

  absl::Status MakePhoneServices() {
    ASSIGN_OR_RETURN(adoption_, AdoptionService::Create({.authorizer = authorizer_,
                                                         .pool = *pool_,
                                                         .import_pool = *import_pool_,
                                                         .report_pool = *report_pool_,
                                                         .holdings = holdings_,
                                                         .clock = context_.clock}));
    ASSIGN_OR_RETURN(phone_trust_, PhoneTrustService::Create({.authorizer = authorizer_,
                                                              .pool = *pool_,
                                                              .report_pool = *report_pool_,
                                                              .holdings = holdings_,
                                                              .clock = context_.clock,
                                                              .metrics = context_.metrics,
                                                              .lists = list_memory_,
                                                              .keys = list_keys_.get()}));
    return absl::OkStatus();
  }

  absl::Status AskDatabase() {
    static constexpr Statement kAsk = {"itld_ready", "SELECT count(*) FROM cluster"};
    ASSIGN_OR_RETURN(const Pool::Lease lease, pool_->Acquire(absl::Seconds(1)));
    ASSIGN_OR_RETURN(const Result result, lease->Execute(kAsk));
    ASSIGN_OR_RETURN(const int64_t clusters, result.Value<int64_t>());
    return clusters > 0 ? absl::OkStatus() : FailedPrecondition("the database has no cluster: run the migrations");
  }

  DaemonContext& context_;
  const ItldConfig config_;
  const IdentityAuthority authority_;
  const std::unique_ptr<Pool> pool_;
  const std::unique_ptr<Pool> import_pool_;
  const std::unique_ptr<Pool> report_pool_;
  const std::unique_ptr<Pool> list_pool_;  // null, like what follows, without [trust_lists]
  const std::unique_ptr<KeyFolder> list_keys_;
  std::unique_ptr<NodeVouching> vouching_;
  std::unique_ptr<ListPublisher> publisher_;
  AuditQueue audit_;
  Authorizer authorizer_;
  AuditSealer sealer_;
  IdentityRenewal renewal_;
  HoldingStore holdings_;
  PublicationReview review_;
  PhoneUpkeep upkeep_;
  ResetRunner reset_runner_;
  ListMemory list_memory_;
  PreFlightGate gate_;
  std::unique_ptr<PlanEngine> plan_engine_;  // null, like what follows, without [trust_lists]
  std::unique_ptr<PlanRunner> plan_runner_;
  std::unique_ptr<TrustStoreService> trust_store_;
  std::unique_ptr<AuditService> audit_service_;
  std::unique_ptr<AccessService> access_;
  std::unique_ptr<NodeService> node_;
  std::unique_ptr<TrustListService> trust_lists_;
  std::unique_ptr<QuestionService> questions_;
  std::unique_ptr<ResetService> resets_;
  std::unique_ptr<PlanService> plans_;
  std::unique_ptr<ClusterTrustService> cluster_trust_;
  std::unique_ptr<PhoneTrustService> phone_trust_;
  std::unique_ptr<AdoptionService> adoption_;
  std::unique_ptr<RpcServer> rpc_server_;
};

}  // namespace
}  // namespace trustline

int main(int argc, char** argv) {
  return trustline::RunDaemon(
      argc, argv, trustline::kDescription,
      [](trustline::DaemonContext& context) -> absl::StatusOr<std::unique_ptr<trustline::DaemonService>> {
        return trustline::Itld::Create(context);
      });
}
