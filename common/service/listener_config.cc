#include "common/service/listener_config.h"

#include <set>

#include "common/net/ip_address.h"
#include "common/status/status.h"

namespace trustline {

absl::StatusOr<ListenerConfig> ReadListener(ConfigTable table, std::string_view port_key, uint16_t default_port,
                                            ListenerSecurity security) {
  ListenerConfig listener;
  ASSIGN_OR_RETURN(listener.cluster, table.TextOr("cluster", "default"));
  ASSIGN_OR_RETURN(listener.server.address, table.TextOr("address", "::"));
  ASSIGN_OR_RETURN(const int64_t port, table.IntegerOr(port_key, default_port, 0, 65'535));
  listener.server.port = static_cast<uint16_t>(port);
  ASSIGN_OR_RETURN(listener.server.interface, table.TextOr("interface", ""));
  if (security == ListenerSecurity::kTls) {
    ASSIGN_OR_RETURN(listener.files.certificate, table.Path("certificate"));
    ASSIGN_OR_RETURN(listener.files.key, table.Path("key"));
    ASSIGN_OR_RETURN(listener.files.passphrase_file, table.PassphrasePathOr("passphrase", ""));
    ASSIGN_OR_RETURN(listener.allow_tls10, table.BoolOr("allow_tls10", false));
  }
  ASSIGN_OR_RETURN(const int64_t per_address, table.IntegerOr("connections_per_address", 1'024, 1, 1'000'000));
  listener.server.connections_per_address = static_cast<uint32_t>(per_address);
  ASSIGN_OR_RETURN(const int64_t total, table.IntegerOr("connections", 20'000, 1, 1'000'000));
  listener.server.connections_total = static_cast<uint32_t>(total);
  ASSIGN_OR_RETURN(const absl::Duration handshake,
                   table.DurationOr("handshake_deadline", absl::Seconds(5), absl::Milliseconds(100), absl::Minutes(1)));
  listener.server.handshake_deadline = absl::ToChronoMilliseconds(handshake);
  ASSIGN_OR_RETURN(const absl::Duration exchange, table.DurationOr("exchange_deadline", absl::Seconds(10),
                                                                   absl::Milliseconds(100), absl::Minutes(10)));
  listener.server.exchange_deadline = absl::ToChronoMilliseconds(exchange);
  ASSIGN_OR_RETURN(listener.server.exempt_networks, table.TextList("exempt"));
  // Names the place, which no two listeners of a process share.
  listener.server.name = EndpointText(listener.server.address, listener.server.port);
  if (!listener.server.interface.empty()) listener.server.name += "%" + listener.server.interface;
  return listener;
}

absl::StatusOr<std::vector<ListenerConfig>> ReadListeners(ConfigTable root, uint16_t default_port) {
  ASSIGN_OR_RETURN(const std::vector<ConfigTable> tables, root.Tables("listener"));
  if (tables.empty()) return root.Error("listener", "at least one [[listener]] is needed");
  std::vector<ListenerConfig> listeners;
  std::set<std::string> places;
  for (const ConfigTable& table : tables) {
    ASSIGN_OR_RETURN(ListenerConfig listener, ReadListener(table, "port", default_port, ListenerSecurity::kTls));
    const std::string place =
        fmt::format("{} {} {}", listener.server.address, listener.server.port, listener.server.interface);
    if (listener.server.port != 0 && !places.insert(place).second) {
      return table.Error("port", "another listener has this address and port");
    }
    listeners.push_back(std::move(listener));
  }
  return listeners;
}

std::vector<std::string> ClustersOf(const std::vector<ListenerConfig>& listeners) {
  std::set<std::string> clusters;
  for (const ListenerConfig& listener : listeners) clusters.insert(listener.cluster);
  return {clusters.begin(), clusters.end()};
}

absl::StatusOr<LoadedListener> LoadListener(const ListenerConfig& listener) {
  ASSIGN_OR_RETURN(ListenerCredentials credentials, LoadListenerCredentials(listener.files));
  absl::StatusOr<std::shared_ptr<TlsContext>> tls =
      MakeListenerTls(credentials, listener.allow_tls10, listener.ask_client_certificate);
  if (!tls.ok()) {
    return Annotate(tls.status(), fmt::format("{} with {}", listener.files.certificate, listener.files.key));
  }
  return LoadedListener{std::move(credentials.chain), *std::move(tls)};
}

}  // namespace trustline
