#include "cli/supervisor/daemon_files.h"

#include "cli/supervisor/identities.h"
#include "cli/supervisor/private_file.h"
#include "common/service/config.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr std::string_view kHeader = "# Written by trustline up at each start.\n";

std::string CommonSections(const std::string& node, const std::string& connection, const std::string& renew_from,
                           const Settings& settings, uint16_t grpc_port, uint16_t metrics_port) {
  std::string text = fmt::format("[node]\nname = {}\n\n", TomlText(node));
  text += fmt::format("[database]\nconnection = {}\n\n", TomlText(connection));
  text += "[identity]\ncertificate = \"identity.crt\"\nkey = \"identity.key\"\nauthority = \"authority.crt\"\n";
  if (!renew_from.empty()) text += fmt::format("renew_from = {}\n", TomlText(renew_from));
  text += fmt::format("\n[grpc]\naddress = {}\nport = {}\n\n", TomlText(settings.grpc_listen), grpc_port);
  text += fmt::format("[metrics]\naddress = \"127.0.0.1\"\nport = {}\n\n[log]\nlevel = \"info\"\n\n", metrics_port);
  return text;
}

// Listeners of other clusters, for old phones, for a VRF stand in the site's own file.
absl::Status WriteWithLocal(const DataPaths& paths, const std::string& name, const std::optional<SystemUser>& owner,
                            const std::string& directory, std::string text) {
  const std::string local = paths.local_configuration(name);
  text =
      fmt::format("{}# What is changed here is lost then: lines of your own go into {}.\n\n{}", kHeader, local, text);
  const absl::StatusOr<std::string> added = ReadTrustedFile(local);
  if (added.ok()) {
    text += fmt::format("\n# From {}\n{}", local, *added);
  } else if (!absl::IsNotFound(added.status())) {
    return added.status();
  }
  const ActAs scope(owner);
  RETURN_IF_ERROR(scope.status());
  return WriteFileWhole(fmt::format("{}/{}.toml", directory, name), text);
}

// For phones, with the certificate of this name.
std::string ListenerSection(const std::string& address, uint16_t port, std::string_view certificate) {
  return fmt::format(
      "[[listener]]\ncluster = \"default\"\naddress = {0}\nport = {1}\ncertificate = \"{2}.crt\"\nkey = \"{2}.key\"\n"
      "passphrase_file = \"passphrase\"\n",
      TomlText(address), port, certificate);
}

absl::StatusOr<std::vector<ListenerAddress>> LocalListenersOf(const DataPaths& paths, const std::string& daemon,
                                                              std::string_view service, uint16_t default_port) {
  std::vector<ListenerAddress> listeners;
  const std::string path = paths.local_configuration(daemon);
  const absl::StatusOr<std::string> text = ReadTrustedFile(path);
  if (absl::IsNotFound(text.status())) return listeners;
  RETURN_IF_ERROR(text.status());
  ASSIGN_OR_RETURN(const ConfigFile file, ConfigFile::Parse(*text, path));
  ASSIGN_OR_RETURN(std::vector<ConfigTable> tables, file.root().Tables("listener"));
  for (ConfigTable& table : tables) {
    ASSIGN_OR_RETURN(const std::string cluster, table.TextOr("cluster", "default"));
    ASSIGN_OR_RETURN(const std::string address, table.TextOr("address", "::"));
    ASSIGN_OR_RETURN(const int64_t port, table.IntegerOr("port", default_port, 0, 65'535));
    if (port == 0 || table.Has("interface")) continue;
    listeners.push_back(
        {fmt::format("phones, {} of {}", service, cluster), address, static_cast<uint16_t>(port), daemon});
  }
  return listeners;
}

// Each is one over UDP and TCP and one over TLS, unless it leaves out one of the two.
absl::StatusOr<std::vector<ListenerAddress>> LocalSipListeners(const DataPaths& paths, const Ports& base) {
  std::vector<ListenerAddress> listeners;
  const std::string daemon = "provisiond";
  const std::string path = paths.local_configuration(daemon);
  const absl::StatusOr<std::string> text = ReadTrustedFile(path);
  if (absl::IsNotFound(text.status())) return listeners;
  RETURN_IF_ERROR(text.status());
  ASSIGN_OR_RETURN(const ConfigFile file, ConfigFile::Parse(*text, path));
  ASSIGN_OR_RETURN(std::vector<ConfigTable> tables, file.root().Tables("sip_listener"));
  for (ConfigTable& table : tables) {
    ASSIGN_OR_RETURN(const std::string cluster, table.TextOr("cluster", "default"));
    ASSIGN_OR_RETURN(const std::string address, table.TextOr("address", "::"));
    ASSIGN_OR_RETURN(const int64_t port, table.IntegerOr("port", base.sip, 0, 65'535));
    ASSIGN_OR_RETURN(const int64_t tls_port, table.IntegerOr("tls_port", base.sip_tls, 0, 65'535));
    ASSIGN_OR_RETURN(const bool plain, table.BoolOr("plain", true));
    ASSIGN_OR_RETURN(const bool tls, table.BoolOr("tls", true));
    if (table.Has("interface")) continue;
    const auto add = [&](std::string_view over, int64_t number, bool is_udp) {
      if (number == 0) return;
      listeners.push_back({fmt::format("reports, SIP over {} of {}", over, cluster), address,
                           static_cast<uint16_t>(number), daemon, is_udp});
    };
    if (plain) {
      add("UDP", port, true);
      add("TCP", port, false);
    }
    if (tls) add("TLS", tls_port, false);
  }
  return listeners;
}

}  // namespace

std::string TomlText(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      quoted += fmt::format("\\u{:04X}", static_cast<unsigned>(c));
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

absl::Status WriteTvsdConfiguration(const DataPaths& paths, const std::optional<SystemUser>& owner,
                                    const std::string& node, const std::string& connection,
                                    const std::string& renew_from, const Settings& settings, const Ports& ports) {
  std::string text = CommonSections(node, connection, renew_from, settings, ports.tvsd_grpc, ports.tvsd_metrics);
  text += ListenerSection(settings.listen, ports.tvs, "tvs");
  text += fmt::format("\n[crl]\naddress = {}\nport = {}\n", TomlText(settings.listen), ports.crl);
  return WriteWithLocal(paths, "tvsd", owner, paths.tvsd(), std::move(text));
}

absl::Status WriteItldConfiguration(const DataPaths& paths, const std::optional<SystemUser>& owner,
                                    const std::string& connection, const Settings& settings, const Ports& ports) {
  std::string text = CommonSections(kLocalNode, connection, "", settings, ports.itld_grpc, ports.itld_metrics);
  text +=
      "[identity_authority]\ncertificate = \"identity-authority.crt\"\nkey = \"identity-authority.key\"\n"
      "passphrase_file = \"passphrase\"\n\n[audit]\nseal_file = \"audit-seals\"\n\n"
      "[trust_lists]\nkeys = \"list-keys\"\npassphrase_file = \"passphrase\"\n";
  return WriteWithLocal(paths, "itld", owner, paths.itld(), std::move(text));
}

absl::Status WriteCadConfiguration(const DataPaths& paths, const std::optional<SystemUser>& owner,
                                   const std::string& connection, const std::string& itld, const SiteSettings& site,
                                   const Settings& settings, const Ports& ports) {
  std::string text = CommonSections(kLocalNode, connection, itld, settings, ports.cad_grpc, ports.cad_metrics);
  text += fmt::format(
      "[authority]\nkeys = \"keys\"\npassphrase_file = \"passphrase\"\npublic_url = {}\norganization = {}\n"
      "organizational_unit = {}\n\n[services]\nitld = {}\n",
      TomlText(site.public_url), TomlText(site.organization), TomlText(site.organizational_unit), TomlText(itld));
  return WriteWithLocal(paths, "cad", owner, paths.cad(), std::move(text));
}

absl::Status WriteCapfdConfiguration(const DataPaths& paths, const std::optional<SystemUser>& owner,
                                     const std::string& connection, const std::string& itld, const std::string& cad,
                                     const Settings& settings, const Ports& ports) {
  std::string text = CommonSections(kLocalNode, connection, itld, settings, ports.capfd_grpc, ports.capfd_metrics);
  // Without [capf], which the site's own file may hold.
  text += ListenerSection(settings.listen, ports.capf, "capf");
  text += fmt::format("\n[services]\ncad = {}\n", TomlText(cad));
  return WriteWithLocal(paths, "capfd", owner, paths.capfd(), std::move(text));
}

absl::Status WriteProvisiondConfiguration(const DataPaths& paths, const std::optional<SystemUser>& owner,
                                          const std::string& connection, const std::string& itld,
                                          const std::string& tvsd, const Settings& settings, const Ports& ports) {
  std::string text =
      CommonSections(kLocalNode, connection, itld, settings, ports.provisiond_grpc, ports.provisiond_metrics);
  text += fmt::format(
      "[[sip_listener]]\ncluster = \"default\"\naddress = {}\nport = {}\ntls_port = {}\n"
      "certificate = \"provisiond.crt\"\nkey = \"provisiond.key\"\npassphrase_file = \"passphrase\"\n\n"
      "[services]\nitld = {}\ntvsd = {}\n",
      TomlText(settings.listen), ports.sip, ports.sip_tls, TomlText(itld), TomlText(tvsd));
  return WriteWithLocal(paths, "provisiond", owner, paths.provisiond(), std::move(text));
}

absl::StatusOr<std::vector<ListenerAddress>> LocalListeners(const DataPaths& paths, bool with_database) {
  const Ports base;
  ASSIGN_OR_RETURN(std::vector<ListenerAddress> listeners, LocalListenersOf(paths, "tvsd", "TVS", base.tvs));
  if (!with_database) return listeners;
  const absl::StatusOr<std::vector<ListenerAddress>> capf = LocalListenersOf(paths, "capfd", "CAPF", base.capf);
  if (capf.ok()) listeners.insert(listeners.end(), capf->begin(), capf->end());
  const absl::StatusOr<std::vector<ListenerAddress>> sip = LocalSipListeners(paths, base);
  if (sip.ok()) listeners.insert(listeners.end(), sip->begin(), sip->end());
  return listeners;
}

absl::Status WriteAdministratorContext(const DataPaths& paths, const Settings& settings, const Ports& ports) {
  const std::string host = LocalAddress(settings.grpc_listen);
  return WriteFileWhole(
      paths.admin() + "/context.toml",
      fmt::format("{}cluster = \"default\"\n\n[identity]\ncertificate = \"identity.crt\"\nkey = \"identity.key\"\n"
                  "authority = \"authority.crt\"\n\n[services]\nitld = {}\ntvsd = {}\ncad = {}\ncapfd = {}\n"
                  "provisiond = {}\n",
                  kHeader, TomlText(HostPort(host, ports.itld_grpc)), TomlText(HostPort(host, ports.tvsd_grpc)),
                  TomlText(HostPort(host, ports.cad_grpc)), TomlText(HostPort(host, ports.capfd_grpc)),
                  TomlText(HostPort(host, ports.provisiond_grpc))));
}

}  // namespace trustline
