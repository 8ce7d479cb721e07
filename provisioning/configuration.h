// provisiond's own sections of its configuration file (docs/OPERATIONS.md).
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/net/stream_server.h"
#include "common/net/udp_server.h"
#include "common/service/config.h"
#include "common/service/listener_config.h"
#include "provisioning/sip/request_pace.h"

namespace trustline {

// One [[sip_listener]]: an address where reports come. TCP and UDP are there together, or neither.
struct SipListenerConfig {
  std::string cluster;
  std::optional<UdpServerOptions> udp;
  std::optional<StreamServerOptions> tcp;
  std::optional<ListenerConfig> tls;
};

struct ProvisiondConfig {
  size_t workers = 0;       // 0: one a core
  RequestPaceOptions pace;  // of who is no forwarder
  std::string itld;         // "host:port"
  std::string tvsd;
  std::vector<SipListenerConfig> listeners;

  // Each cluster that a listener is for, once.
  std::vector<std::string> Clusters() const;
};

// Reads [sip], [[sip_listener]] and [services]. InvalidArgument with file and line.
absl::StatusOr<ProvisiondConfig> ReadProvisiondConfig(ConfigTable root);

}  // namespace trustline
