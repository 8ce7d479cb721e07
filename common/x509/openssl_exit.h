// What OpenSSL does when a process ends.
#pragma once

namespace trustline {

// OpenSSL frees what all threads share as soon as main has returned, while those of gRPC may still be in a handshake or
// about to end: they would use what is gone. Leaves all of it to the end of the process. Has its effect before the
// first use of OpenSSL only: the first call of each main. See OPENSSL_INIT_NO_ATEXIT in OPENSSL_init_crypto(3).
void KeepOpenSslUntilExit();

}  // namespace trustline
