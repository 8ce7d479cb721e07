// The real provisiond, in a process of its own, for tests.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "tests/support/daemon_process.h"
#include "tests/support/itld_process.h"
#include "tests/support/scratch_database.h"

namespace trustline {

struct ProvisiondOptions {
  std::string node = "node1";
  uint16_t itld_port = 1;  // gRPC on 127.0.0.1; 1: none answers
  uint16_t tvsd_port = 1;
  std::string listener;  // more lines for its [[sip_listener]] of cluster default
  std::string tables;    // more tables at the end of the file
};

// Everything that a DaemonProcess has, and the listeners for reports, on free ports of 127.0.0.1.
class ProvisiondProcess final : public DaemonProcess {
 public:
  // Returns when every listener accepts; errors hold what provisiond printed.
  static absl::StatusOr<std::unique_ptr<ProvisiondProcess>> Start(const ScratchDatabase& database, const ItldSite& site,
                                                                  const ProvisiondOptions& options);

  uint16_t udp_port() const { return udp_port_; }
  uint16_t tcp_port() const { return tcp_port_; }
  uint16_t tls_port() const { return tls_port_; }

 private:
  ProvisiondProcess() = default;

  uint16_t udp_port_ = 0;
  uint16_t tcp_port_ = 0;
  uint16_t tls_port_ = 0;
};

}  // namespace trustline
