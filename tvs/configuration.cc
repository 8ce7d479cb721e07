#include "tvs/configuration.h"

#include <set>

#include "common/net/ip_address.h"
#include "common/status/status.h"

namespace trustline {
namespace {

absl::StatusOr<TvsListenerConfig> ReadListener(ConfigTable table) {
  TvsListenerConfig listener;
  ASSIGN_OR_RETURN(listener.cluster, table.TextOr("cluster", "default"));
  ASSIGN_OR_RETURN(listener.server.address, table.TextOr("address", "::"));
  ASSIGN_OR_RETURN(const int64_t port, table.IntegerOr("port", 2445, 0, 65'535));
  listener.server.port = static_cast<uint16_t>(port);
  ASSIGN_OR_RETURN(listener.server.interface, table.TextOr("interface", ""));
  ASSIGN_OR_RETURN(listener.files.certificate, table.Path("certificate"));
  ASSIGN_OR_RETURN(listener.files.key, table.Path("key"));
  ASSIGN_OR_RETURN(listener.files.passphrase_file, table.PassphrasePathOr("passphrase", ""));
  ASSIGN_OR_RETURN(listener.allow_tls10, table.BoolOr("allow_tls10", false));
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

absl::StatusOr<CrlListenerConfig> ReadCrlListener(ConfigTable table) {
  CrlListenerConfig crl;
  ASSIGN_OR_RETURN(crl.address, table.TextOr("address", "::"));
  ASSIGN_OR_RETURN(const int64_t port, table.IntegerOr("port", 9480, 0, 65'535));
  crl.port = static_cast<uint16_t>(port);
  ASSIGN_OR_RETURN(const int64_t per_address, table.IntegerOr("connections_per_address", 256, 1, 1'000'000));
  crl.connections_per_address = static_cast<uint32_t>(per_address);
  ASSIGN_OR_RETURN(const int64_t total, table.IntegerOr("connections", 10'000, 1, 1'000'000));
  crl.connections = static_cast<uint32_t>(total);
  return crl;
}

}  // namespace

absl::StatusOr<TvsdConfig> ReadTvsdConfig(ConfigTable root) {
  TvsdConfig config;
  ASSIGN_OR_RETURN(ConfigTable tvs, root.Table("tvs"));
  ASSIGN_OR_RETURN(const absl::Duration age_limit,
                   tvs.DurationOr("age_limit", absl::Hours(1), absl::Seconds(10), absl::Hours(24 * 7)));
  config.freshness.age_limit = absl::ToChronoNanoseconds(age_limit);
  ASSIGN_OR_RETURN(const int64_t workers, tvs.IntegerOr("workers", 0, 0, 256));
  config.workers = static_cast<size_t>(workers);
  ASSIGN_OR_RETURN(const std::vector<ConfigTable> tables, root.Tables("listener"));
  if (tables.empty()) return root.Error("listener", "at least one [[listener]] is needed");
  std::set<std::string> places;
  for (const ConfigTable& table : tables) {
    ASSIGN_OR_RETURN(TvsListenerConfig listener, ReadListener(table));
    const std::string place =
        fmt::format("{} {} {}", listener.server.address, listener.server.port, listener.server.interface);
    if (listener.server.port != 0 && !places.insert(place).second) {
      return table.Error("port", "another listener has this address and port");
    }
    config.listeners.push_back(std::move(listener));
  }
  if (root.Has("crl")) {
    ASSIGN_OR_RETURN(ConfigTable crl, root.Table("crl"));
    ASSIGN_OR_RETURN(config.crl, ReadCrlListener(crl));
  }
  return config;
}

absl::StatusOr<LoadedListener> LoadListener(const TvsListenerConfig& listener) {
  ASSIGN_OR_RETURN(ListenerCredentials credentials, LoadListenerCredentials(listener.files));
  absl::StatusOr<std::shared_ptr<TlsContext>> tls = MakeListenerTls(credentials, listener.allow_tls10);
  if (!tls.ok()) {
    return Annotate(tls.status(), fmt::format("{} with {}", listener.files.certificate, listener.files.key));
  }
  return LoadedListener{std::move(credentials.chain), *std::move(tls)};
}

}  // namespace trustline
