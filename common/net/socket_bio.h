// OpenSSL input and output on a socket that raises no SIGPIPE, which OpenSSL's own socket BIO does for a peer that has
// gone.
#pragma once

#include <openssl/ssl.h>

namespace trustline {

// Makes `ssl` read from and write to `fd`, which stays the caller's. False when memory is short.
bool AttachSocket(SSL* ssl, int fd);

}  // namespace trustline
