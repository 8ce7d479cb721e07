#include "tvs/configuration.h"

#include "common/net/ip_address.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr uint16_t kTvsPort = 2445;

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
  ASSIGN_OR_RETURN(config.listeners, ReadListeners(root, kTvsPort));
  ASSIGN_OR_RETURN(ConfigTable grpc, root.Table("grpc"));
  ASSIGN_OR_RETURN(config.grpc_advertise, grpc.TextOr("advertise", ""));
  if (grpc.Has("advertise") && !IsHost(config.grpc_advertise)) {
    return grpc.Error("advertise", "must be a host name or an address, without a port");
  }
  if (root.Has("crl")) {
    ASSIGN_OR_RETURN(ConfigTable crl, root.Table("crl"));
    ASSIGN_OR_RETURN(config.crl, ReadCrlListener(crl));
  }
  return config;
}

}  // namespace trustline
