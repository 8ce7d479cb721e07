// The one socket class of all phone protocols: a listener for TLS, or for plain TCP, with deadlines and connection caps
// that feeds sessions.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/net/io_workers.h"
#include "common/net/ip_address.h"
#include "common/net/session.h"
#include "common/net/tls_context.h"

namespace trustline {

// Relaxed counters, written by the workers and read at any time; `open_connections` is a gauge.
struct ListenerStatistics {
  std::atomic<uint64_t> accepted{0};
  std::atomic<uint64_t> refused_by_address_cap{0};
  std::atomic<uint64_t> refused_by_total_cap{0};
  std::atomic<uint64_t> accept_pauses{0};  // Out of descriptors or memory: accepting rested for a moment.
  std::atomic<uint64_t> handshakes_full{0};
  std::atomic<uint64_t> handshakes_resumed{0};
  std::atomic<uint64_t> handshakes_failed{0};  // The peer's or our own alert, or an end in the middle.
  std::atomic<uint64_t> handshake_deadlines{0};
  std::atomic<uint64_t> exchange_deadlines{0};
  std::atomic<uint64_t> closed_mid_message{0};  // The peer ended after bytes that no answer had followed yet.
  std::atomic<uint64_t> bytes_in{0};            // Application bytes, without TLS.
  std::atomic<uint64_t> bytes_out{0};
  std::atomic<int64_t> open_connections{0};
};

struct ConnectionEvent {
  enum class Kind {
    kRefusedByAddressCap,
    kRefusedByTotalCap,
    kAcceptPaused,
    kHandshakeFailed,
    kHandshakeDeadline,
    kExchangeDeadline,
    kClosedMidMessage,
  };
  Kind kind;
  const Peer& peer;         // Without an address for kAcceptPaused. Valid during the call.
  std::string_view detail;  // In words. Valid during the call.
};

// A stable lower-case name for logs and metric labels, such as "handshake_failed".
std::string_view ConnectionEventName(ConnectionEvent::Kind kind);

struct StreamServerOptions {
  std::string name;  // Names the listener in Peer, logs and metrics.
  std::string address =
      "::";               // "::" is IPv4 and IPv6 (IPv4 alone on a machine without IPv6); or one IPv4/IPv6 address.
  uint16_t port = 0;      // 0: a free port, see StreamServer::port().
  std::string interface;  // Optional network interface or VRF device (SO_BINDTODEVICE).

  // Certificate, versions (TLS 1.0 or not) and ticket keys of this listener, to begin with (StreamServer::UseTls).
  // Several listeners may share one. Null: plain TCP, where the first byte, or the peer's end, stands for the
  // handshake.
  std::shared_ptr<TlsContext> tls;

  uint32_t connections_per_address = 1'024;
  uint32_t connections_total = 20'000;
  // Networks ("192.0.2.0/24", "2001:db8::/32") or addresses of forwarders to which the cap per address does not apply.
  std::vector<std::string> exempt_networks;
  // More such addresses, which may change: asked anew at each accept, in the accepting thread; must not block. May be
  // empty.
  std::function<bool(const IpAddress&)> is_exempt;

  // From accept to the end of the handshake.
  std::chrono::milliseconds handshake_deadline = std::chrono::seconds(5);
  // From the end of the handshake, or the last complete answer, to the next complete answer.
  std::chrono::milliseconds exchange_deadline = std::chrono::seconds(10);
  // The same for connections whose session has asked for patience (SessionActions::patient).
  std::chrono::milliseconds patient_deadline = std::chrono::minutes(15);

  // Called in the accepting thread and the workers, several at once; must not block. The owner limits the log's rate.
  std::function<void(const ConnectionEvent&)> on_event;
};

// One listening address and its connections. Several servers may run on the same IoWorkers.
class StreamServer {
 public:
  // Listens when it returns OK. `workers` must outlive the server. FailedPrecondition names address and port when they
  // are taken; InvalidArgument for addresses and networks that cannot be read; PermissionDenied for ports below 1024.
  static absl::StatusOr<std::unique_ptr<StreamServer>> Start(IoWorkers& workers, StreamServerOptions options,
                                                             SessionFactory factory);

  ~StreamServer();

  uint16_t port() const;
  const StreamServerOptions& options() const;
  const ListenerStatistics& statistics() const;

  // Handshakes that begin from now on use `tls`, which is not null, allows TLS 1.0 where the one before did, and asks
  // for client certificates where that one did. Open connections stay as they are; who resumes an older session gets a
  // full handshake. Safe from any thread. Contexts are kept until the server is destroyed. Not for a listener of plain
  // TCP.
  void UseTls(std::shared_ptr<TlsContext> tls);

  // Closes the listener and every connection, and returns when all sessions are destroyed. Safe to call again. Must not
  // be called from a session, an event or a factory.
  void Stop();

 private:
  class Impl;
  explicit StreamServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace trustline
