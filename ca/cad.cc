// The certificate authority daemon: it holds the keys that certify devices. Phones never reach it.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ca/authority/authority_admin.h"
#include "ca/authority/authority_service.h"
#include "ca/authority/refused_keys.h"
#include "ca/device/device_service.h"
#include "ca/issuance/issuance_service.h"
#include "ca/issuance/issuer.h"
#include "ca/issuance/sweeper.h"
#include "ca/profile/public_url.h"
#include "ca/revocation/crl_publisher.h"
#include "ca/trust_store_client.h"
#include "common/postgres/pool.h"
#include "common/rpc/authorization.h"
#include "common/rpc/call_database.h"
#include "common/rpc/identity_renewal.h"
#include "common/rpc/identity_store.h"
#include "common/rpc/server.h"
#include "common/service/audit.h"
#include "common/service/daemon.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr int kConnections = 12;
// An audit's, a purge's, and what revokes in bulk.
constexpr int kLongConnections = 3;
// The CRLs' own, so that no audit keeps a revocation from them.
constexpr int kCrlConnections = 2;
constexpr absl::Duration kLongStatement = absl::Minutes(2);
constexpr absl::Duration kStopPatience = absl::Seconds(3);

const DaemonDescription kDescription = {
    .name = "cad",
    .summary = "Trustline's certificate authority: issues and revokes the certificates of devices",
    .example =
        "  [node]\n"
        "  name = \"node1\"\n"
        "  [database]\n"
        "  connection = \"host=/run/postgresql dbname=trustline user=trustline_cad passfile=database.pgpass\"\n"
        "  [identity]\n"
        "  certificate = \"identity.crt\"\n"
        "  key = \"identity.key\"\n"
        "  authority = \"authority.crt\"\n"
        "  renew_from = \"10.0.0.1:9442\"\n"
        "  [authority]\n"
        "  keys = \"keys\"\n"
        "  passphrase_file = \"passphrase\"\n"
        "  public_url = \"http://ca.example.net:9480\"\n"
        "  organization = \"Example Inc\"\n"
        "  organizational_unit = \"Voice\"\n"
        "  [services]\n"
        "  itld = \"10.0.0.1:9442\"\n",
    .grpc_port = 9443,
    .metrics_port = 9543,
};

struct CadConfig {
  std::string keys;
  std::string passphrase_file;
  std::string itld;
  IssuerOptions issuer;
  AuthorityAdminOptions admin;
};

absl::StatusOr<CadConfig> ReadConfig(ConfigTable root) {
  CadConfig config;
  ASSIGN_OR_RETURN(ConfigTable authority, root.Table("authority"));
  ASSIGN_OR_RETURN(config.keys, authority.Path("keys"));
  ASSIGN_OR_RETURN(config.passphrase_file, authority.PassphrasePath("passphrase"));
  ASSIGN_OR_RETURN(std::string public_url, authority.Text("public_url"));
  absl::StatusOr<std::string> checked_url = CheckPublicUrl(std::move(public_url));
  if (!checked_url.ok()) return authority.Error("public_url", StatusMessage(checked_url.status()));
  config.issuer.public_url = *std::move(checked_url);
  ASSIGN_OR_RETURN(config.admin.organization, authority.TextOr("organization", "Trustline"));
  ASSIGN_OR_RETURN(config.admin.organizational_unit, authority.TextOr("organizational_unit", "Voice"));
  ASSIGN_OR_RETURN(config.issuer.key_policy.allow_rsa_1024, authority.BoolOr("allow_rsa_1024", false));
  ASSIGN_OR_RETURN(config.issuer.key_policy.allow_exponent_3, authority.BoolOr("allow_exponent_3", false));
  ASSIGN_OR_RETURN(ConfigTable services, root.Table("services"));
  ASSIGN_OR_RETURN(config.itld, services.Text("itld"));
  return config;
}

class Cad final : public DaemonService {
 public:
  static absl::StatusOr<std::unique_ptr<Cad>> Create(DaemonContext& context) {
    ASSIGN_OR_RETURN(CadConfig config, ReadConfig(context.root));
    ASSIGN_OR_RETURN(const LoadedIdentity own, LoadIdentity(context.config.identity));
    if (own.identity.kind != kDescription.name) {
      return InvalidArgument("the identity in {} is {}, not that of a cad", context.config.identity.certificate,
                             own.identity.ToUri());
    }
    absl::StatusOr<std::unique_ptr<AuthorityKeys>> keys = AuthorityKeys::Open(config.keys, config.passphrase_file);
    if (!keys.ok() && !context.check_only) RecordRefusedKeys(context, own.identity.ToUri(), keys.status());
    RETURN_IF_ERROR(keys.status());
    ASSIGN_OR_RETURN(std::unique_ptr<TrustStoreClient> trust_store,
                     TrustStoreClient::Create(config.itld, context.config.identity));
    ASSIGN_OR_RETURN(std::unique_ptr<Pool> pool, MakeCallPool(context.config, "cad", kConnections));
    ASSIGN_OR_RETURN(std::unique_ptr<Pool> long_pool,
                     MakeCallPool(context.config, "cad long", kLongConnections, kLongStatement));
    ASSIGN_OR_RETURN(std::unique_ptr<Pool> crl_pool,
                     MakeCallPool(context.config, "cad crl", kCrlConnections, kLongStatement));
    auto cad = std::unique_ptr<Cad>(new Cad(context, std::move(config), *std::move(keys), own.identity.ToUri(),
                                            std::move(trust_store), std::move(pool), std::move(long_pool),
                                            std::move(crl_pool)));
    RETURN_IF_ERROR(cad->MakeServices());
    return cad;
  }

  absl::Status Start() override {
    authorizer_.Start();
    sweeper_.Start();
    publisher_.Start();
    ASSIGN_OR_RETURN(rpc_server_,
                     RpcServer::Start({.address = context_.config.grpc_address,
                                       .port = context_.config.grpc_port,
                                       .identity = context_.config.identity,
                                       .log = &context_.log},
                                      {devices_.get(), issuance_.get(), authorities_.get()}, context_.health));
    if (!context_.config.identity_renew_from.empty()) {
      renewal_ = std::make_unique<IdentityRenewal>(
          IdentityRenewalOptions{.files = context_.config.identity},
          RenewThroughService(context_.config.identity_renew_from, context_.config.identity), context_.clock,
          context_.log, context_.metrics);
      renewal_->Start();
    }
    context_.log.Info("RPC_LISTENING", "programs and administrators are answered",
                      {{"address", context_.config.grpc_address}, {"port", rpc_server_->port()}});
    context_.health.AddReadinessCheck("authorities", [this] { return AskDatabase(); });
    context_.health.AddReadinessCheck("access", [this] { return authorizer_.Ready(); });
    return absl::OkStatus();
  }

  void Stop() override {
    if (rpc_server_) EndCalls(*rpc_server_, kStopPatience, {pool_.get(), long_pool_.get()});
    if (renewal_) renewal_->Stop();
    publisher_.Stop();
    sweeper_.Stop();
    authorizer_.Stop();
    audit_.Stop();
    pool_->Shutdown();
    long_pool_->Shutdown();
    crl_pool_->Shutdown();
  }

 private:
  Cad(DaemonContext& context, CadConfig config, std::unique_ptr<AuthorityKeys> keys, std::string own_uri,
      std::unique_ptr<TrustStoreClient> trust_store, std::unique_ptr<Pool> pool, std::unique_ptr<Pool> long_pool,
      std::unique_ptr<Pool> crl_pool)
      : context_(context),
        config_(std::move(config)),
        keys_(std::move(keys)),
        trust_store_(std::move(trust_store)),
        pool_(std::move(pool)),
        long_pool_(std::move(long_pool)),
        crl_pool_(std::move(crl_pool)),
        audit_({.connection = context.config.database_connection, .application_name = "cad audit"}, context.clock,
               context.log, context.metrics),
        authorizer_({.connection = context.config.database_connection, .application_name = "cad access"}, context.clock,
                    context.log, context.metrics, audit_),
        issuer_(config_.issuer, *pool_, *keys_, context.clock),
        sweeper_({.actor = std::move(own_uri)}, issuer_, *pool_, context.log, context.metrics),
        publisher_({}, *crl_pool_, *keys_, *trust_store_, context.clock, context.log, context.metrics),
        admin_(config_.admin, *pool_, *keys_, *trust_store_, context.clock) {}

  absl::Status MakeServices() {
    ASSIGN_OR_RETURN(devices_, DeviceService::Create(authorizer_, *pool_, audit_));
    ASSIGN_OR_RETURN(issuance_, IssuanceService::Create({.authorizer = authorizer_,
                                                         .pool = *pool_,
                                                         .long_pool = *long_pool_,
                                                         .issuer = issuer_,
                                                         .publisher = publisher_,
                                                         .audit = audit_,
                                                         .metrics = context_.metrics}));
    ASSIGN_OR_RETURN(authorities_, AuthorityService::Create({.authorizer = authorizer_,
                                                             .pool = *pool_,
                                                             .admin = admin_,
                                                             .keys = *keys_,
                                                             .publisher = publisher_,
                                                             .audit = audit_,
                                                             .clock = context_.clock,
                                                             .public_url = config_.issuer.public_url}));
    return absl::OkStatus();
  }

  // The key of every authority that issues must be here. Of one that makes CRLs only, the publisher tells.
  absl::Status AskDatabase() {
    static constexpr Statement kAsk = {"cad_ready", "SELECT key_name FROM ca_authority WHERE state = 'active'"};
    ASSIGN_OR_RETURN(const Pool::Lease lease, pool_->Acquire(absl::Seconds(1)));
    ASSIGN_OR_RETURN(const Result result, lease->Execute(kAsk));
    for (const Row row : result) {
      ASSIGN_OR_RETURN(const std::string key_name, row.Get<std::string>(0));
      RETURN_IF_ERROR(keys_->Find(key_name).status());
    }
    return absl::OkStatus();
  }

  DaemonContext& context_;
  const CadConfig config_;
  const std::unique_ptr<AuthorityKeys> keys_;
  const std::unique_ptr<TrustStoreClient> trust_store_;
  const std::unique_ptr<Pool> pool_;
  const std::unique_ptr<Pool> long_pool_;
  const std::unique_ptr<Pool> crl_pool_;
  AuditQueue audit_;
  Authorizer authorizer_;
  Issuer issuer_;
  Sweeper sweeper_;
  CrlPublisher publisher_;
  AuthorityAdmin admin_;
  std::unique_ptr<DeviceService> devices_;
  std::unique_ptr<IssuanceService> issuance_;
  std::unique_ptr<AuthorityService> authorities_;
  std::unique_ptr<RpcServer> rpc_server_;
  std::unique_ptr<IdentityRenewal> renewal_;
};

}  // namespace
}  // namespace trustline

int main(int argc, char** argv) {
  return trustline::RunDaemon(
      argc, argv, trustline::kDescription,
      [](trustline::DaemonContext& context) -> absl::StatusOr<std::unique_ptr<trustline::DaemonService>> {
        return trustline::Cad::Create(context);
      });
}
