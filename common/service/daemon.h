// The start and the end that every daemon has in common.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/service/clock.h"
#include "common/service/config.h"
#include "common/service/health.h"
#include "common/service/identity_files.h"
#include "common/service/log.h"
#include "common/service/metrics.h"

namespace trustline {

struct DaemonDescription {
  std::string name;     // "tvsd": program, service kind of its identity, label of its metrics
  std::string summary;  // one sentence for --help
  std::string example;  // a small configuration file for --help
  uint16_t grpc_port = 0;
  uint16_t metrics_port = 0;
  bool issues_identities = false;  // [identity] has no renew_from: it renews its own
};

// The sections that all configuration files have (docs/OPERATIONS.md).
struct DaemonConfig {
  std::string node;                 // [node] name
  std::string database_connection;  // [database] connection: libpq's connection string
  IdentityFiles identity;           // [identity] certificate, key, authority
  std::string identity_renew_from;  // [identity] renew_from: address of itld; empty: not renewed
  std::string grpc_address;         // [grpc] address, port
  uint16_t grpc_port = 0;           // 0: any free port
  std::string metrics_address;      // [metrics] address, port
  uint16_t metrics_port = 0;
  LogLevel log_level = LogLevel::kInfo;  // [log] level
};

// Reads the common sections; the daemon's own follow, then ConfigFile::RefuseUnknownKeys().
absl::StatusOr<DaemonConfig> ReadDaemonConfig(const DaemonDescription& description, ConfigTable root);

// What a daemon is built from; outlives the service.
struct DaemonContext {
  const DaemonConfig& config;
  ConfigTable root;  // the whole file, for the daemon's own sections
  Log& log;
  Metrics& metrics;
  Health& health;
  const Clock& clock;
  bool check_only = false;  // --check-config: nothing is started or recorded
};

class DaemonService {
 public:
  virtual ~DaemonService() = default;
  // Opens the network and the database. An error ends the process with one line. When it returns OK every listener
  // accepts; the database may still be away.
  virtual absl::Status Start() = 0;
  // Ends everything that Start began. Called once, after Start returned (also after its failure).
  virtual void Stop() = 0;
};

// Reads the daemon's own sections and builds it without touching network or database (--check-config ends after it);
// only a refusal that the audit log must have may be recorded, unless check_only.
using DaemonBuilder = std::function<absl::StatusOr<std::unique_ptr<DaemonService>>(DaemonContext& context)>;

// The whole life of a daemon: options (--config FILE, --check-config, --version, --help), configuration, no core
// dumps, file limit, signals, HTTP for /metrics and /health/{live,ready,startup}, Start, wait for SIGTERM or SIGINT,
// Stop. Returns the exit status: 0 after a clean stop, 1 after an error, which is one line on stderr.
int RunDaemon(int argc, char** argv, const DaemonDescription& description, const DaemonBuilder& build);

// Raises the limit of open files to what the system allows this process; returns the limit.
absl::StatusOr<uint64_t> RaiseFileLimit();

}  // namespace trustline
