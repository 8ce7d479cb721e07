#include "common/x509/openssl_exit.h"

#include <openssl/crypto.h>

namespace trustline {

// A failure is the want of memory: then nothing else of OpenSSL works either, which its callers are told.
void KeepOpenSslUntilExit() { OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, nullptr); }

}  // namespace trustline
