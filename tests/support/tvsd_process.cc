#include "tests/support/tvsd_process.h"

#include <filesystem>

#include "absl/time/clock.h"
#include "common/status/status.h"
#include "common/x509/certificate_builder.h"
#include "tests/support/tvs_form.h"

namespace trustline {
namespace {

namespace fs = std::filesystem;

constexpr char kProgram[] = TRUSTLINE_BIN_DIR "/tvsd";

}  // namespace

absl::StatusOr<std::unique_ptr<TvsdSite>> TvsdSite::Create(std::string connection) {
  const absl::Time now = absl::Now();
  ASSIGN_OR_RETURN(IdentityAuthority authority, IdentityAuthority::Create(now));
  ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::Generate(KeyKind::kRsa2048));
  ASSIGN_OR_RETURN(Certificate certificate, BuildSelfSigned(TvsForm("tvs.example", now), key));
  return std::unique_ptr<TvsdSite>(
      new TvsdSite(std::move(connection), std::move(authority), std::move(key), std::move(certificate)));
}

absl::StatusOr<std::string> TvsdSite::WriteNode(const TvsdOptions& options) const {
  const fs::path directory = identities_.path() / options.node;
  ASSIGN_OR_RETURN(const Identity identity, Identity::Create(kSystemCluster, "tvsd", options.node));
  RETURN_IF_ERROR(identities_.IssueInto(directory, identity));
  const SecretBytes passphrase("a passphrase for tests");
  RETURN_IF_ERROR(WritePrivateFile(directory / "passphrase", passphrase.ExposeSecret()));
  // A node that starts again keeps what it has been given since.
  if (!fs::exists(directory / "tvs.key")) {
    RETURN_IF_ERROR(WritePrivateFile(directory / "tvs.crt", tvs_certificate_.ToPem()));
    RETURN_IF_ERROR(tvs_key_.WriteKeyFile(directory / "tvs.key", &passphrase));
  }
  const std::string text = fmt::format(
      "[node]\nname = \"{}\"\n[database]\nconnection = \"{}\"\n"
      "[identity]\ncertificate = \"identity.crt\"\nkey = \"identity.key\"\nauthority = \"authority.crt\"\n{}"
      "[grpc]\naddress = \"127.0.0.1\"\nport = 0\n[metrics]\naddress = \"127.0.0.1\"\nport = 0\n"
      "[log]\nlevel = \"{}\"\n[tvs]\nworkers = {}\n"
      "[[listener]]\ncluster = \"default\"\naddress = \"127.0.0.1\"\nport = 0\ncertificate = \"tvs.crt\"\n"
      "key = \"tvs.key\"\npassphrase_file = \"passphrase\"\n{}{}",
      options.node, connection_, options.itld.empty() ? "" : fmt::format("renew_from = \"{}\"\n", options.itld),
      options.log_level, options.workers, options.listener, options.tables);
  const fs::path path = directory / "tvsd.toml";
  RETURN_IF_ERROR(WritePrivateFile(path, text));
  return path.string();
}

absl::StatusOr<std::unique_ptr<TvsdProcess>> TvsdProcess::Start(const TvsdSite& site, const TvsdOptions& options) {
  ASSIGN_OR_RETURN(std::string config, site.WriteNode(options));
  auto process = std::unique_ptr<TvsdProcess>(new TvsdProcess());
  RETURN_IF_ERROR(process->Launch({.program = kProgram, .configuration = config, .core = options.core}));
  ASSIGN_OR_RETURN(process->tvs_port_, process->PortInLog("TVS_LISTENING", "port"));
  process->crl_port_ = process->PortInLog("CRL_LISTENING", "port").value_or(0);
  return process;
}

}  // namespace trustline
