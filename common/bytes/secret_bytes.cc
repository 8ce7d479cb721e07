#include "common/bytes/secret_bytes.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <cstdlib>

namespace trustline {

SecretBytes SecretBytes::Random(size_t count) {
  SecretBytes secret;
  secret.bytes_.resize(count);
  // RAND_priv_bytes fails only when the operating system has no entropy source; nothing can be kept secret then.
  if (RAND_priv_bytes(secret.bytes_.data(), static_cast<int>(count)) != 1) std::abort();
  return secret;
}

SecretBytes SecretBytes::TakeFrom(std::string& secret) {
  SecretBytes taken(secret);
  OPENSSL_cleanse(secret.data(), secret.size());
  secret.clear();
  return taken;
}

SecretBytes& SecretBytes::operator=(SecretBytes&& other) noexcept {
  if (this != &other) {
    Cleanse();
    bytes_ = std::move(other.bytes_);
    other.bytes_.clear();
  }
  return *this;
}

void SecretBytes::Cleanse() {
  if (!bytes_.empty()) OPENSSL_cleanse(bytes_.data(), bytes_.size());
}

}  // namespace trustline
