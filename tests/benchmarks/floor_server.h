// The floor that TLS servers are compared with: OpenSSL behind an epoll loop, which accepts, reads one message, writes
// a constant answer and closes. No deadlines, caps, statistics or sessions.
#pragma once

#include <openssl/ssl.h>

#include <cstddef>
#include <string>

namespace trustline {

// Serves connections of `listener`, a non-blocking listening socket, in this thread, and never returns.
[[noreturn]] void RunFloorServer(int listener, SSL_CTX* context, size_t request_size, const std::string& answer);

}  // namespace trustline
