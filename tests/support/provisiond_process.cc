#include "tests/support/provisiond_process.h"

#include <filesystem>

#include "absl/time/clock.h"
#include "ca/profile/phone_facing.h"
#include "common/status/status.h"
#include "tests/support/test_identities.h"

namespace trustline {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPassphrase = "a passphrase for tests";

absl::StatusOr<std::string> WriteNode(const ScratchDatabase& database, const ItldSite& site,
                                      const ProvisiondOptions& options) {
  const fs::path folder = site.identities().path() / ("provisiond-" + options.node);
  ASSIGN_OR_RETURN(const Identity identity, Identity::Create(kSystemCluster, "provisiond", options.node));
  RETURN_IF_ERROR(site.identities().IssueInto(folder, identity));
  if (!fs::exists(folder / "passphrase")) {
    RETURN_IF_ERROR(WritePrivateFile(folder / "passphrase", kPassphrase));
    const PhoneFacingProfile profile = NewPhoneFacingProfile(
        PhoneFacingKind::kHttps,
        {.node = "node1", .host = "provision.example", .organization = "Example", .organizational_unit = "Voice"});
    RETURN_IF_ERROR(WriteNewPhoneFacing(profile, folder, "provisiond", SecretBytes(kPassphrase), absl::Now()).status());
  }
  const fs::path path = folder / "provisiond.toml";
  RETURN_IF_ERROR(WritePrivateFile(
      path,
      fmt::format("[node]\nname = \"{}\"\n[database]\nconnection = \"{}\"\n"
                  "[identity]\ncertificate = \"identity.crt\"\nkey = \"identity.key\"\nauthority = \"authority.crt\"\n"
                  "[grpc]\naddress = \"127.0.0.1\"\nport = 0\n[metrics]\naddress = \"127.0.0.1\"\nport = 0\n"
                  "[services]\nitld = \"127.0.0.1:{}\"\ntvsd = \"127.0.0.1:{}\"\n"
                  "[[sip_listener]]\naddress = \"127.0.0.1\"\nport = 0\ntls_port = 0\n"
                  "certificate = \"provisiond.crt\"\nkey = \"provisiond.key\"\npassphrase_file = \"passphrase\"\n{}{}",
                  options.node, database.Conninfo("trustline_provisiond"), options.itld_port, options.tvsd_port,
                  options.listener, options.tables)));
  return path.string();
}

}  // namespace

absl::StatusOr<std::unique_ptr<ProvisiondProcess>> ProvisiondProcess::Start(const ScratchDatabase& database,
                                                                            const ItldSite& site,
                                                                            const ProvisiondOptions& options) {
  ASSIGN_OR_RETURN(const std::string config, WriteNode(database, site, options));
  auto process = std::unique_ptr<ProvisiondProcess>(new ProvisiondProcess());
  RETURN_IF_ERROR(
      process->Launch({.program = fmt::format("{}/provisiond", TRUSTLINE_BIN_DIR), .configuration = config}));
  ASSIGN_OR_RETURN(process->udp_port_, process->PortInLog("SIP_LISTENING", "udp_port"));
  ASSIGN_OR_RETURN(process->tcp_port_, process->PortInLog("SIP_LISTENING", "tcp_port"));
  ASSIGN_OR_RETURN(process->tls_port_, process->PortInLog("SIP_LISTENING", "tls_port"));
  return process;
}

}  // namespace trustline
