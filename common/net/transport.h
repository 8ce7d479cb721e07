// How a connection's bytes travel over its socket: through TLS, or as they are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "common/bytes/bytes.h"
#include "common/net/tls_context.h"

namespace trustline {

// Over a non-blocking socket, which stays the caller's and must outlive the transport. For one thread.
class Transport {
 public:
  enum class Outcome {
    kDone,
    kWantRead,   // call again with the same arguments once the socket can be read
    kWantWrite,  // ... once it can be written
    kEnd,        // the peer sends nothing more, and may still read; so say all later reads too
    kFailed,     // failure() says why; nothing but the destructor may follow
  };
  struct ReadResult {
    Outcome outcome;
    size_t count = 0;  // bytes, above 0 when done
  };
  enum class Handshake { kNone, kFull, kResumed };

  virtual ~Transport() = default;

  // Until it is done nothing else is called. Never kEnd: a peer that leaves here is a failure.
  virtual Outcome ShakeHands() = 0;
  // What the handshake was, and the certificate (DER) whose key the peer has shown to have, null when it showed none.
  virtual Handshake handshake() const = 0;
  virtual std::shared_ptr<const std::string> peer_certificate() const = 0;

  virtual ReadResult Read(std::span<uint8_t> room) = 0;
  // Done when all of `bytes`, which are not empty, are in the kernel's hands.
  virtual Outcome Write(ByteView bytes) = 0;
  // Tells the peer that nothing more comes, as far as the protocol has a word for it.
  virtual void SayEnd() = 0;

  // In words for an administrator.
  const std::string& failure() const { return failure_; }

 protected:
  std::string failure_;
};

// The server's side of TLS. `context` must outlive it. Null when memory is short.
std::unique_ptr<Transport> MakeTlsTransport(const TlsContext& context, int fd);

// No handshake, no certificate, and the end of the connection is the only word for the end.
std::unique_ptr<Transport> MakePlainTransport(int fd);

}  // namespace trustline
