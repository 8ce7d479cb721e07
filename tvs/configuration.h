// tvsd's own sections of its configuration file (docs/OPERATIONS.md).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/net/tls_server.h"
#include "common/service/config.h"
#include "tvs/crl_endpoint.h"
#include "tvs/freshness.h"

namespace trustline {

struct TvsListenerConfig {
  std::string cluster;
  TlsServerOptions server;  // without its TLS context
  std::string certificate;
  std::string key;
  std::string passphrase_file;  // empty: the key is not encrypted
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

// Reads certificate and key, and builds the listener's TLS context from them. Errors name the file.
absl::StatusOr<std::shared_ptr<TlsContext>> LoadListenerTls(const TvsListenerConfig& listener);

}  // namespace trustline
