// A listener for datagrams, on the same workers as the listeners of connections.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/bytes/bytes.h"
#include "common/net/io_workers.h"
#include "common/net/session.h"

namespace trustline {

// Relaxed counters.
struct DatagramStatistics {
  std::atomic<uint64_t> received{0};   // handed over
  std::atomic<uint64_t> sent{0};       // answers
  std::atomic<uint64_t> not_sent{0};   // answers that the network did not take
  std::atomic<uint64_t> truncated{0};  // larger than the limit; not handed over
};

struct UdpServerOptions {
  std::string name;            // Names the listener in Peer, logs and metrics.
  std::string address = "::";  // As in StreamServerOptions.
  uint16_t port = 0;
  std::string interface;
  size_t largest_datagram = 65'535;  // Bytes, 1 to 65,535.
};

// Answers one datagram, from the address that it was sent to. May be called from any thread, once or never, also after
// the server and its workers are gone, when it does nothing. What the network does not take is lost, as datagrams are.
using DatagramReply = std::function<void(std::string bytes)>;

// Called in one worker's thread; must not block. The view is valid during the call only, and may be empty.
using DatagramHandler = std::function<void(const Peer& peer, ByteView datagram, const DatagramReply& reply)>;

// One listening address. One worker reads all of its datagrams, so that they are handed over as they came.
class UdpServer {
 public:
  // Listens when it returns OK. `workers` must outlive the server. Errors as those of StreamServer::Start.
  static absl::StatusOr<std::unique_ptr<UdpServer>> Start(IoWorkers& workers, UdpServerOptions options,
                                                          DatagramHandler handler);
  ~UdpServer();

  uint16_t port() const;
  const UdpServerOptions& options() const;
  const DatagramStatistics& statistics() const;

  // Returns when the handler is not called any more and no reply sends any more. Safe to call again; not from the
  // handler.
  void Stop();

 private:
  class Impl;
  explicit UdpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace trustline
