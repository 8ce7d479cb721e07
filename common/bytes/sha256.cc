#include "common/bytes/sha256.h"

#include <openssl/sha.h>

namespace trustline {

Sha256Digest Sha256(ByteView bytes) {
  Sha256Digest digest;
  SHA256(bytes.data(), bytes.size(), digest.data());
  return digest;
}

}  // namespace trustline
