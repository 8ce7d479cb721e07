// CRLs over HTTP: GET /crl/<key name>.crl (docs/PROTOCOLS.md).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/net/http_server.h"
#include "common/service/metrics.h"
#include "tvs/crl_downloads.h"

namespace trustline {

struct CrlListenerConfig {
  std::string address;
  uint16_t port = 0;
  uint32_t connections = 0;
  uint32_t connections_per_address = 0;
};

// trustline_crl_downloads_total{result}: requests for CRLs, by what became of them.
struct CrlDownloadCounters {
  explicit CrlDownloadCounters(Metrics& metrics);

  Counter& served;
  Counter& served_away;  // from memory, the database being away
  Counter& not_found;
  Counter& unavailable;
};

class CrlEndpoint {
 public:
  // Listens when it returns OK. `downloads`, and the registry of the counters, must outlive it.
  static absl::StatusOr<std::unique_ptr<CrlEndpoint>> Start(const CrlListenerConfig& config, CrlDownloads& downloads,
                                                            const CrlDownloadCounters& counters);
  ~CrlEndpoint() { Stop(); }

  uint16_t port() const { return server_->port(); }

  // Closes every connection. Idempotent.
  void Stop();

 private:
  explicit CrlEndpoint(std::unique_ptr<HttpServer> server) : server_(std::move(server)) {}
  const std::unique_ptr<HttpServer> server_;
};

}  // namespace trustline
