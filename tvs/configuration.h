// tvsd's own sections of its configuration file (docs/OPERATIONS.md).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/net/tls_server.h"
#include "common/service/config.h"
#include "common/service/listener_files.h"
#include "tvs/crl_endpoint.h"
#include "tvs/freshness.h"

namespace trustline {

struct TvsListenerConfig {
  std::string cluster;
  TlsServerOptions server;  // without its TLS context
  ListenerFiles files;
  bool allow_tls10 = false;
};

struct TvsdConfig {
  FreshnessPolicy freshness;
  size_t workers = 0;  // 0: one a core
  std::vector<TvsListenerConfig> listeners;
  std::optional<CrlListenerConfig> crl;  // absent: CRLs are not served
};

// Reads [tvs], [[listener]] and [crl]. InvalidArgument with file and line, also when there is no listener or two listen
// on the same address and port.
absl::StatusOr<TvsdConfig> ReadTvsdConfig(ConfigTable root);

// Reads the listener's certificate and key, and builds its TLS context from them. Errors name the file.
struct LoadedListener {
  std::vector<Certificate> chain;
  std::shared_ptr<TlsContext> tls;
};
absl::StatusOr<LoadedListener> LoadListener(const TvsListenerConfig& listener);

}  // namespace trustline
