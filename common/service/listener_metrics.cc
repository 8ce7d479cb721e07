#include "common/service/listener_metrics.h"

namespace trustline {

std::vector<Metrics::Registration> RegisterTlsMetrics(Metrics& metrics, const MetricLabels& labels,
                                                      const StreamServer& server) {
  std::vector<Metrics::Registration> registrations;
  const auto counter = [&](const char* name, const char* help, const std::atomic<uint64_t>& value) {
    registrations.push_back(metrics.AddCounterCallback(name, help, labels, value));
  };
  const ListenerStatistics& net = server.statistics();
  counter("trustline_tls_accepted_total", "Connections accepted.", net.accepted);
  counter("trustline_tls_refused_by_address_cap_total", "Connections closed: too many of one address.",
          net.refused_by_address_cap);
  counter("trustline_tls_refused_by_total_cap_total", "Connections closed: too many in all.", net.refused_by_total_cap);
  counter("trustline_tls_accept_pauses_total", "Times accepting rested for want of descriptors or memory.",
          net.accept_pauses);
  counter("trustline_tls_handshakes_full_total", "Full TLS handshakes.", net.handshakes_full);
  counter("trustline_tls_handshakes_resumed_total", "Resumed TLS handshakes.", net.handshakes_resumed);
  counter("trustline_tls_handshakes_failed_total", "TLS handshakes that failed.", net.handshakes_failed);
  counter("trustline_tls_handshake_deadlines_total", "Connections closed in the handshake by its deadline.",
          net.handshake_deadlines);
  counter("trustline_tls_exchange_deadlines_total", "Connections closed after the handshake by the exchange deadline.",
          net.exchange_deadlines);
  counter("trustline_tls_closed_mid_message_total", "Connections that the peer closed inside a message.",
          net.closed_mid_message);
  counter("trustline_tls_received_bytes_total", "Application bytes received.", net.bytes_in);
  counter("trustline_tls_sent_bytes_total", "Application bytes sent.", net.bytes_out);
  registrations.push_back(metrics.AddGaugeCallback(
      "trustline_tls_open_connections", "Connections open now.", labels,
      [&net] { return static_cast<double>(net.open_connections.load(std::memory_order_relaxed)); }));
  return registrations;
}

}  // namespace trustline
