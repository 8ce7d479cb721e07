#include "tests/support/itld_process.h"

#include <sys/stat.h>

#include "common/rpc/channel.h"
#include "common/status/status.h"

namespace trustline {
namespace {

namespace fs = std::filesystem;

constexpr char kNode[] = "node1";

}  // namespace

absl::StatusOr<std::unique_ptr<ItldSite>> ItldSite::Create(const ScratchDatabase& database) {
  ASSIGN_OR_RETURN(std::unique_ptr<TvsdSite> tvsd_site, TvsdSite::Create(database.Conninfo("trustline_tvsd")));
  auto site = std::unique_ptr<ItldSite>(new ItldSite(database, std::move(tvsd_site)));
  ASSIGN_OR_RETURN(Connection superuser, database.Connect());
  RETURN_IF_ERROR(superuser.ExecuteScript(
      fmt::format("INSERT INTO access_grant (cluster_id, person, role, granted_by) VALUES (1, 'admin', "
                  "'administrator', 'test');"
                  "INSERT INTO node (name, identity, identity_expires_at, approved_at, approved_by) VALUES ('{0}', "
                  "'trustline:default/tvsd/{0}', now() + interval '90 days', now(), 'test')",
                  kNode)));
  RETURN_IF_ERROR(site->StartTvsd());
  return site;
}

absl::Status ItldSite::StartTvsd() {
  tvsd_.reset();
  ASSIGN_OR_RETURN(tvsd_, TvsdProcess::Start(*tvsd_site_, {.node = kNode, .workers = 1}));
  RETURN_IF_ERROR(tvsd_->WaitUntilReady());
  // As itld keeps it when a tvsd announces itself.
  ASSIGN_OR_RETURN(Connection superuser, database_.Connect());
  return superuser.ExecuteScript(
      fmt::format("UPDATE node SET grpc_address = '127.0.0.1:{}' WHERE name = '{}'", tvsd_->grpc_port(), kNode));
}

absl::StatusOr<std::unique_ptr<DaemonProcess>> ItldSite::StartItld(const ItldOptions& options) const {
  const TestIdentities& identities = tvsd_site_->identities();
  const fs::path folder = identities.path() / ("itld-" + options.node);
  ASSIGN_OR_RETURN(const Identity identity, Identity::Create(kSystemCluster, "itld", options.node));
  RETURN_IF_ERROR(identities.IssueInto(folder, identity));
  RETURN_IF_ERROR(WritePrivateFile(folder / "passphrase", "a passphrase for tests\n"));
  if (!fs::exists(folder / "identity-authority.key")) {
    RETURN_IF_ERROR(identities.authority().Save(folder / "identity-authority.crt", folder / "identity-authority.key",
                                                folder / "passphrase"));
  }
  const fs::path keys = identities.path() / "list-keys";
  fs::create_directory(keys);
  chmod(keys.c_str(), 0700);
  RETURN_IF_ERROR(WritePrivateFile(
      folder / "itld.toml",
      fmt::format("[node]\nname = \"{}\"\n[database]\nconnection = \"{}\"\n"
                  "[identity]\ncertificate = \"identity.crt\"\nkey = \"identity.key\"\nauthority = \"authority.crt\"\n"
                  "[grpc]\naddress = \"127.0.0.1\"\nport = {}\n[metrics]\naddress = \"127.0.0.1\"\nport = 0\n"
                  "[identity_authority]\ncertificate = \"identity-authority.crt\"\n"
                  "key = \"identity-authority.key\"\npassphrase_file = \"passphrase\"\n"
                  "[audit]\nseal_file = \"audit-seals\"\n"
                  "[trust_lists]\nkeys = \"{}\"\npassphrase_file = \"passphrase\"\nquiet_time = \"{}\"\n"
                  "[plans]\ninterval = \"{}\"\npatience = \"100ms\"\n",
                  options.node, database_.Conninfo("trustline_itld"), options.grpc_port, keys.string(),
                  options.quiet_time, options.plan_interval)));
  DaemonProcessOptions process = {.program = fmt::format("{}/{}", TRUSTLINE_BIN_DIR, options.program),
                                  .configuration = folder / "itld.toml"};
  if (!options.fail_point.empty()) process.environment.push_back("TRUSTLINE_FAIL_POINT=" + options.fail_point);
  ASSIGN_OR_RETURN(std::unique_ptr<DaemonProcess> itld, DaemonProcess::Start(process));
  RETURN_IF_ERROR(itld->WaitUntilReady());
  return itld;
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> ItldSite::Channel(const DaemonProcess& itld) const {
  ASSIGN_OR_RETURN(const IdentityFiles admin, tvsd_site_->IdentityFor("trustline:default/person/admin"));
  return OpenChannel(fmt::format("127.0.0.1:{}", itld.grpc_port()), admin, "itld");
}

}  // namespace trustline
