#include "provisioning/configuration.h"

#include <set>

#include "common/status/status.h"

namespace trustline {
namespace {

constexpr uint16_t kSipPort = 5060;  // RFC 3261, section 19.1.2
constexpr uint16_t kSipsPort = 5061;
// Whoever reports is answered when itld has stored it, at the latest after ten seconds.
constexpr absl::Duration kLeastExchange = absl::Seconds(12);
constexpr absl::Duration kUsualExchange = absl::Seconds(15);

// The sections of a phones' listener, with deadlines for who waits for a report to be stored.
absl::StatusOr<ListenerConfig> ReadStream(ConfigTable table, std::string_view port_key, uint16_t default_port,
                                          ListenerSecurity security) {
  ASSIGN_OR_RETURN(ListenerConfig listener, ReadListener(table, port_key, default_port, security));
  ASSIGN_OR_RETURN(const absl::Duration exchange,
                   table.DurationOr("exchange_deadline", kUsualExchange, kLeastExchange, absl::Minutes(10)));
  listener.server.exchange_deadline = absl::ToChronoMilliseconds(exchange);
  ASSIGN_OR_RETURN(const absl::Duration forwarders,
                   table.DurationOr("forwarder_deadline", absl::Minutes(15), absl::Minutes(1), absl::Hours(24)));
  listener.server.patient_deadline = absl::ToChronoMilliseconds(forwarders);
  return listener;
}

absl::StatusOr<SipListenerConfig> ReadSipListener(ConfigTable table) {
  SipListenerConfig listener;
  ASSIGN_OR_RETURN(listener.cluster, table.TextOr("cluster", "default"));
  ASSIGN_OR_RETURN(const bool plain, table.BoolOr("plain", true));
  ASSIGN_OR_RETURN(const bool tls, table.BoolOr("tls", true));
  if (!plain && !tls) return table.Error("tls", "with `plain = false` nothing is left to listen on");
  if (plain) {
    ASSIGN_OR_RETURN(ListenerConfig stream, ReadStream(table, "port", kSipPort, ListenerSecurity::kNone));
    listener.udp = UdpServerOptions{.name = stream.server.name + "/udp",
                                    .address = stream.server.address,
                                    .port = stream.server.port,
                                    .interface = stream.server.interface};
    listener.tcp = std::move(stream.server);
  }
  if (tls) {
    ASSIGN_OR_RETURN(listener.tls, ReadStream(table, "tls_port", kSipsPort, ListenerSecurity::kTls));
    listener.tls->ask_client_certificate = true;
  }
  return listener;
}

}  // namespace

std::vector<std::string> ProvisiondConfig::Clusters() const {
  std::set<std::string> clusters;
  for (const SipListenerConfig& listener : listeners) clusters.insert(listener.cluster);
  return {clusters.begin(), clusters.end()};
}

absl::StatusOr<ProvisiondConfig> ReadProvisiondConfig(ConfigTable root) {
  ProvisiondConfig config;
  ASSIGN_OR_RETURN(const std::vector<ConfigTable> tables, root.Tables("sip_listener"));
  if (tables.empty()) return root.Error("sip_listener", "at least one [[sip_listener]] is needed");
  std::set<std::string> places;
  for (const ConfigTable& table : tables) {
    ASSIGN_OR_RETURN(SipListenerConfig listener, ReadSipListener(table));
    const auto is_taken = [&places](const StreamServerOptions& server) {
      return server.port != 0 && !places.insert(server.name).second;
    };
    if (listener.tcp && is_taken(*listener.tcp)) {
      return table.Error("port", "another listener has this address and port");
    }
    if (listener.tls && is_taken(listener.tls->server)) {
      return table.Error("tls_port", "another listener has this address and port");
    }
    config.listeners.push_back(std::move(listener));
  }

  ASSIGN_OR_RETURN(ConfigTable sip, root.Table("sip"));
  ASSIGN_OR_RETURN(const int64_t workers, sip.IntegerOr("workers", 0, 0, 256));
  config.workers = static_cast<size_t>(workers);
  ASSIGN_OR_RETURN(const int64_t pace, sip.IntegerOr("requests_per_second", 50, 1, 100'000));
  config.pace.per_second = static_cast<double>(pace);
  ASSIGN_OR_RETURN(const int64_t burst, sip.IntegerOr("request_burst", 200, 1, 1'000'000));
  config.pace.burst = static_cast<double>(burst);

  ASSIGN_OR_RETURN(ConfigTable services, root.Table("services"));
  ASSIGN_OR_RETURN(config.itld, services.Text("itld"));
  ASSIGN_OR_RETURN(config.tvsd, services.Text("tvsd"));
  return config;
}

}  // namespace trustline
