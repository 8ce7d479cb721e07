// Peers that hold a server's connections open and never send a byte.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "common/posix/unique_fd.h"
#include "tests/support/daemon_process.h"

namespace trustline {

// So many connections to 127.0.0.1, from 100 addresses of the loopback network; a new one is opened for each that the
// server closes, until destroyed.
class SilentConnections {
 public:
  SilentConnections(uint16_t port, size_t count);
  ~SilentConnections();

  // Once, all of them.
  void WaitUntilOpened() const;

  uint64_t opened() const { return opened_; }
  uint64_t failed() const { return failed_; }

 private:
  void Open(size_t index);
  void Run();

  const uint16_t port_;
  const size_t count_;
  const UniqueFd epoll_;
  std::vector<UniqueFd> sockets_;
  std::atomic<uint64_t> opened_{0};
  std::atomic<uint64_t> failed_{0};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

// The kernel opens connections faster than a daemon takes them; those in between are not silent peers yet.
absl::Status WaitUntilAccepted(const DaemonProcess& daemon, size_t count);

}  // namespace trustline
