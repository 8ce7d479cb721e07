#include "tests/support/capfd_process.h"

#include <filesystem>

#include "absl/time/clock.h"
#include "ca/profile/phone_facing.h"
#include "common/rpc/channel.h"
#include "common/status/status.h"
#include "tests/support/test_identities.h"

namespace trustline {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPassphrase = "a passphrase for tests";

absl::StatusOr<Certificate> MakeCertificate(const PrivateKey& key) {
  const PhoneFacingProfile profile = NewPhoneFacingProfile(
      PhoneFacingKind::kCapf,
      {.node = "node1", .host = "capf.example", .organization = "Example", .organizational_unit = "Voice"});
  ASSIGN_OR_RETURN(const CertificateTemplate form, PhoneFacingTemplate(profile, absl::Now()));
  return BuildSelfSigned(form, key);
}

}  // namespace

absl::StatusOr<std::unique_ptr<CapfdSite>> CapfdSite::Create(const ScratchDatabase& database, const CadSite& site,
                                                             std::string_view pem) {
  ASSIGN_OR_RETURN(PrivateKey key,
                   pem.empty() ? PrivateKey::Generate(KeyKind::kRsa2048) : PrivateKey::FromPem(pem, nullptr));
  ASSIGN_OR_RETURN(Certificate certificate, pem.empty() ? MakeCertificate(key) : Certificate::FromPem(pem));
  return std::unique_ptr<CapfdSite>(new CapfdSite(database, site, std::move(key), std::move(certificate)));
}

fs::path CapfdSite::NodeFolder(std::string_view node) const { return directory_.path() / node; }

absl::StatusOr<std::string> CapfdSite::WriteNode(const CapfdOptions& options) const {
  const fs::path folder = NodeFolder(options.node);
  ASSIGN_OR_RETURN(const IdentityFiles identity, site_.IdentityFor("trustline:default/capfd/" + options.node));
  // A node that starts again keeps what it has.
  if (!fs::exists(folder)) {
    fs::create_directory(folder);
    const SecretBytes passphrase(kPassphrase);
    RETURN_IF_ERROR(WritePrivateFile(folder / "passphrase", kPassphrase));
    RETURN_IF_ERROR(WritePrivateFile(folder / "capf.crt", certificate_.ToPem()));
    RETURN_IF_ERROR(key_.WriteKeyFile(folder / "capf.key", &passphrase));
  }
  const std::string text = fmt::format(
      "[node]\nname = \"{}\"\n[database]\nconnection = \"{}\"\n"
      "[identity]\ncertificate = \"{}\"\nkey = \"{}\"\nauthority = \"{}\"\n"
      "[grpc]\naddress = \"127.0.0.1\"\nport = 0\n[metrics]\naddress = \"127.0.0.1\"\nport = 0\n"
      "[log]\nlevel = \"{}\"\n[capf]\n{}[services]\ncad = \"127.0.0.1:{}\"\n"
      "[[listener]]\ncluster = \"default\"\naddress = \"127.0.0.1\"\nport = {}\ncertificate = \"capf.crt\"\n"
      "key = \"capf.key\"\npassphrase_file = \"passphrase\"\n{}{}",
      options.node, database_.Conninfo("trustline_capfd"), identity.certificate, identity.key, identity.authority,
      options.log_level, options.capf, options.cad_port, options.capf_port, options.listener, options.tables);
  const fs::path path = folder / "capfd.toml";
  RETURN_IF_ERROR(WritePrivateFile(path, text));
  return path.string();
}

absl::StatusOr<std::unique_ptr<CapfdProcess>> CapfdProcess::Start(const CapfdSite& site, const CapfdOptions& options) {
  ASSIGN_OR_RETURN(std::string config, site.WriteNode(options));
  auto process = std::unique_ptr<CapfdProcess>(new CapfdProcess(site));
  RETURN_IF_ERROR(process->Launch({.program = fmt::format("{}/{}", TRUSTLINE_BIN_DIR, options.program),
                                   .configuration = config,
                                   .environment = options.environment,
                                   .core = options.core}));
  ASSIGN_OR_RETURN(process->capf_port_, process->PortInLog("CAPF_LISTENING", "port"));
  return process;
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> CapfdProcess::Channel() const {
  ASSIGN_OR_RETURN(const IdentityFiles admin, site_.site_.IdentityFor("trustline:default/person/admin"));
  return OpenChannel(fmt::format("127.0.0.1:{}", grpc_port()), admin, "capfd");
}

}  // namespace trustline
