// The [[listener]] sections of a daemon that phones talk to (docs/OPERATIONS.md).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/net/stream_server.h"
#include "common/service/config.h"
#include "common/service/listener_files.h"
#include "common/x509/certificate.h"

namespace trustline {

struct ListenerConfig {
  std::string cluster;
  StreamServerOptions server;  // without its TLS context
  ListenerFiles files;
  bool allow_tls10 = false;
  bool ask_client_certificate = false;  // not read: the daemon's own
};

// Reads every [[listener]]. InvalidArgument with file and line, also when there is none or two listen on the same
// address and port.
absl::StatusOr<std::vector<ListenerConfig>> ReadListeners(ConfigTable root, uint16_t default_port);

// One listener's table, where its port has the key `port_key`. One without TLS has no files.
enum class ListenerSecurity : uint8_t { kTls, kNone };
absl::StatusOr<ListenerConfig> ReadListener(ConfigTable table, std::string_view port_key, uint16_t default_port,
                                            ListenerSecurity security);

// Each cluster that a listener is for, once.
std::vector<std::string> ClustersOf(const std::vector<ListenerConfig>& listeners);

// Reads the listener's certificate and key, and builds its TLS context from them. Errors name the file.
struct LoadedListener {
  std::vector<Certificate> chain;
  std::shared_ptr<TlsContext> tls;
};
absl::StatusOr<LoadedListener> LoadListener(const ListenerConfig& listener);

}  // namespace trustline
