#include "common/bytes/checksums.h"

#include <openssl/evp.h>

namespace trustline {
namespace {

template <typename Digest>
Digest DigestOf(ByteView bytes, const EVP_MD* algorithm) {
  Digest digest{};
  EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, algorithm, nullptr);
  return digest;
}

}  // namespace

Sha1Digest Sha1(ByteView bytes) { return DigestOf<Sha1Digest>(bytes, EVP_sha1()); }
Md5Digest Md5(ByteView bytes) { return DigestOf<Md5Digest>(bytes, EVP_md5()); }

}  // namespace trustline
