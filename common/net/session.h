// The contract between the socket layer and a phone protocol. A session is a value without a socket: bytes in, actions
// out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "common/bytes/bytes.h"

namespace trustline {

// The other end of a connection.
struct Peer {
  std::string address;   // IPv4 or IPv6 text; an IPv4 peer of a dual-stack listener is written as IPv4.
  uint16_t port = 0;     // The peer's own port.
  std::string listener;  // The name of the listener that accepted it.
  size_t worker = 0;     // Index of the worker thread that serves it, below IoWorkers::size().
  // The certificate that the peer has shown and has the key of, DER; null when it showed none. Nobody has judged it.
  std::shared_ptr<const std::string> certificate;

  std::string ToText() const;  // "192.0.2.1:50000" or "[2001:db8::1]:50000"
};

// What the socket layer does for a session, in this order. With nothing set it reads on.
struct SessionActions {
  // From now on the listener's patient deadline applies instead of its exchange deadline, and begins: the peer has
  // proved itself and may need minutes for its answer.
  bool patient = false;

  // The deadline starts anew although nothing is sent: a whole message has said that the peer is still at work.
  bool renew_deadline = false;

  // An answer, which leaves in one write. When it has left, the deadline starts anew.
  std::string send;

  // Close the connection (TLS: close_notify first) once `send` has left.
  bool close = false;

  // When set (and `close` is not): outside work, such as a database look-up, which the socket layer starts once `send`
  // has left. `done` may be called from any thread, within the call or later, even after the connection or the server
  // is gone; calls after the first do nothing. The layer then calls OnWaitDone() in the connection's own thread. Until
  // then no bytes are delivered; the deadline goes on running. `wait_for` itself must not block, and what it
  // captures must not depend on the session's life: the connection may close meanwhile.
  std::function<void(std::function<void()> done)> wait_for;
};

// One connection's protocol state. All calls come from one thread; the destructor runs there too when the connection
// ends for any reason (at server stop: in that thread as well).
class PhoneSession {
 public:
  virtual ~PhoneSession() = default;

  // The handshake is complete (plain TCP: the first byte has come); called once, before anything else. What a protocol
  // says in which the server speaks first.
  virtual SessionActions OnConnected() { return {}; }

  // Bytes as they came, in pieces of any size (1 to 16,384), never empty. The view is valid during the call only; what
  // the session cannot use yet it keeps. Bytes of a second message that came together with the first are its own to
  // keep: they are not delivered again.
  virtual SessionActions OnBytes(ByteView bytes) = 0;

  // Everything that had arrived was delivered; called after at least one OnBytes. A session that answers many messages
  // at once waits for this. A peer that sends without a pause never lets it come: the session bounds what it holds. One
  // that ends its own direction gets this, and the answers that follow from it, before the connection is closed.
  virtual SessionActions OnDrained() { return {}; }

  // The outside work asked for by `wait_for` has called `done`.
  virtual SessionActions OnWaitDone() = 0;
};

// Called in the worker thread after each complete handshake, of plain TCP with the first byte. Never returns null.
// Called from several threads at once when there are several workers.
using SessionFactory = std::function<std::unique_ptr<PhoneSession>(const Peer&)>;

}  // namespace trustline
