#include "tests/support/cad_process.h"

#include <sys/stat.h>

#include <filesystem>

#include "absl/time/clock.h"
#include "common/rpc/channel.h"
#include "common/status/status.h"
#include "proto/authority.grpc.pb.h"

namespace trustline {
namespace {

namespace fs = std::filesystem;

constexpr char kPassphrase[] = "a passphrase for tests\n";
constexpr std::string_view kIdentitySection =
    "[identity]\ncertificate = \"identity.crt\"\nkey = \"identity.key\"\nauthority = \"authority.crt\"\n";

std::string Ports(uint16_t grpc_port) {
  return fmt::format("[grpc]\naddress = \"127.0.0.1\"\nport = {}\n[metrics]\naddress = \"127.0.0.1\"\nport = 0\n",
                     grpc_port);
}

std::string Program(std::string_view name) { return fmt::format("{}/{}", TRUSTLINE_BIN_DIR, name); }

}  // namespace

absl::StatusOr<std::unique_ptr<CadSite>> CadSite::Create(const ScratchDatabase& database) {
  ASSIGN_OR_RETURN(IdentityAuthority authority, IdentityAuthority::Create(absl::Now()));
  auto site = std::unique_ptr<CadSite>(new CadSite(database, std::move(authority)));
  ASSIGN_OR_RETURN(Connection superuser, database.Connect());
  RETURN_IF_ERROR(superuser.ExecuteScript(
      "INSERT INTO access_grant (cluster_id, person, role, granted_by) VALUES (1, 'admin', 'administrator', 'test')"));

  const fs::path folder = site->identities_.path() / "itld";
  ASSIGN_OR_RETURN(const Identity identity, Identity::Create(kSystemCluster, "itld", "node1"));
  RETURN_IF_ERROR(site->identities_.IssueInto(folder, identity));
  RETURN_IF_ERROR(WritePrivateFile(folder / "passphrase", kPassphrase));
  RETURN_IF_ERROR(site->identities_.authority().Save(folder / "identity-authority.crt",
                                                     folder / "identity-authority.key", folder / "passphrase"));
  RETURN_IF_ERROR(WritePrivateFile(
      folder / "itld.toml",
      fmt::format("[node]\nname = \"node1\"\n[database]\nconnection = \"{}\"\n{}{}[identity_authority]\ncertificate = "
                  "\"identity-authority.crt\"\nkey = \"identity-authority.key\"\npassphrase_file = \"passphrase\"\n"
                  "[audit]\nseal_file = \"audit-seals\"\n",
                  database.Conninfo("trustline_itld"), kIdentitySection, Ports(0))));
  ASSIGN_OR_RETURN(site->itld_,
                   DaemonProcess::Start({.program = Program("itld"), .configuration = folder / "itld.toml"}));
  return site;
}

absl::StatusOr<std::unique_ptr<DaemonProcess>> CadSite::StartCad(const CadOptions& options) const {
  const fs::path folder = identities_.path() / ("cad-" + options.node);
  ASSIGN_OR_RETURN(const Identity identity, Identity::Create(kSystemCluster, "cad", options.node));
  RETURN_IF_ERROR(identities_.IssueInto(folder, identity));
  RETURN_IF_ERROR(WritePrivateFile(folder / "passphrase", options.passphrase));
  const fs::path credentials = folder / "credentials";
  if (options.passphrase_is_credential) {
    fs::create_directory(credentials);
    fs::rename(folder / "passphrase", credentials / "cad-passphrase");
    chmod((credentials / "cad-passphrase").c_str(), 0440);
  }
  const fs::path keys = keys_folder();
  fs::create_directory(keys);
  chmod(keys.c_str(), 0700);
  RETURN_IF_ERROR(WritePrivateFile(
      folder / "cad.toml",
      fmt::format("[node]\nname = \"{}\"\n[database]\nconnection = \"{}\"\n{}{}[authority]\nkeys = \"{}\"\n"
                  "{}\npublic_url = \"{}\"\n[services]\nitld = \"127.0.0.1:{}\"\n",
                  options.node, database_.Conninfo("trustline_cad"), kIdentitySection, Ports(options.grpc_port),
                  keys.string(),
                  options.passphrase_is_credential ? "passphrase_credential = \"cad-passphrase\""
                                                   : "passphrase_file = \"passphrase\"",
                  options.public_url, itld_->grpc_port())));
  DaemonProcessOptions process = {.program = Program(options.program), .configuration = folder / "cad.toml"};
  if (options.passphrase_is_credential) {
    process.environment.push_back("CREDENTIALS_DIRECTORY=" + credentials.string());
  }
  if (!options.fail_point.empty()) process.environment.push_back("TRUSTLINE_FAIL_POINT=" + options.fail_point);
  return DaemonProcess::Start(process);
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> CadSite::Channel(const DaemonProcess& cad) const {
  ASSIGN_OR_RETURN(const IdentityFiles admin, IdentityFor("trustline:default/person/admin"));
  return OpenChannel(fmt::format("127.0.0.1:{}", cad.grpc_port()), admin, "cad");
}

absl::StatusOr<int32_t> CadSite::MakeAuthority(const DaemonProcess& cad, bool elliptic,
                                               std::string_view cluster) const {
  ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel, Channel(cad));
  const auto stub = v1::Authorities::NewStub(channel);
  v1::PrepareAuthorityRequest prepare;
  prepare.set_cluster(std::string(cluster));
  prepare.set_key(elliptic ? v1::CERTIFICATE_KEY_EC_P256 : v1::CERTIFICATE_KEY_RSA_2048);
  v1::PrepareAuthorityResponse prepared;
  grpc::ClientContext first;
  RETURN_IF_ERROR(ToAbsl(stub->PrepareAuthority(&first, prepare, &prepared)));
  v1::ActivateAuthorityRequest activate;
  activate.set_cluster(std::string(cluster));
  activate.set_authority_id(prepared.authority().authority_id());
  v1::ActivateAuthorityResponse activated;
  grpc::ClientContext second;
  RETURN_IF_ERROR(ToAbsl(stub->ActivateAuthority(&second, activate, &activated)));
  return prepared.authority().authority_id();
}

}  // namespace trustline
