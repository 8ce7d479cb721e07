#include "common/net/ticket_key_ring.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <algorithm>

namespace trustline {
namespace {

// A handshake looks at a ring for microseconds; one that was replaced this long ago is read by nobody.
constexpr std::chrono::seconds kRetiredRingGrace{60};

}  // namespace

TicketKeyRing::Ring::~Ring() { OPENSSL_cleanse(keys.data(), keys.size() * sizeof(Key)); }

TicketKeyRing::TicketKeyRing(std::chrono::seconds interval, std::chrono::seconds lifetime)
    : interval_(interval), lifetime_(lifetime), aes_(EVP_CIPHER_fetch(nullptr, "AES-256-CBC", nullptr)) {
  Rotate();
}

TicketKeyRing::~TicketKeyRing() = default;

void TicketKeyRing::RotateIfDue() {
  const std::lock_guard lock(rotation_);
  const Clock::time_point now = Clock::now();
  if (owner_ == nullptr || now - owner_->keys.front().created >= interval_) RotateLocked(now);
}

void TicketKeyRing::Rotate() {
  const std::lock_guard lock(rotation_);
  RotateLocked(Clock::now());
}

void TicketKeyRing::RotateLocked(Clock::time_point now) {
  auto ring = std::make_unique<Ring>();
  ring->keys.reserve(owner_ == nullptr ? 1 : owner_->keys.size() + 1);  // No reallocation: it would leave keys behind.
  Key& key = ring->keys.emplace_back();
  // Without random bytes the ring stays as it is: an old key is better than a guessable one.
  if (RAND_bytes(key.name.data(), static_cast<int>(key.name.size())) != 1 ||
      RAND_priv_bytes(key.cipher_key.data(), static_cast<int>(key.cipher_key.size())) != 1 ||
      RAND_priv_bytes(key.mac_key.data(), static_cast<int>(key.mac_key.size())) != 1) {
    return;
  }
  key.created = now;
  if (owner_ != nullptr) {
    for (const Key& old : owner_->keys) {
      if (now - old.created < interval_ + lifetime_) ring->keys.push_back(old);
    }
  }
  current_.store(ring.get(), std::memory_order_release);
  if (owner_ != nullptr) retired_.push_back({std::move(owner_), now});
  owner_ = std::move(ring);
  std::erase_if(retired_, [now](const Retired& retired) { return now - retired.since >= kRetiredRingGrace; });
}

int TicketKeyRing::Seal(uint8_t* name, uint8_t* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac) const {
  const Ring* ring = current_.load(std::memory_order_acquire);
  if (ring == nullptr || aes_ == nullptr) return 0;  // No ticket, but a handshake all the same.
  const Key& key = ring->keys.front();
  if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(aes_.get())) != 1) return -1;
  std::copy(key.name.begin(), key.name.end(), name);
  return Prepare(key, iv, cipher, mac, true) ? 1 : -1;
}

int TicketKeyRing::Open(const uint8_t* name, const uint8_t* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac) const {
  const Ring* ring = current_.load(std::memory_order_acquire);
  if (ring == nullptr || aes_ == nullptr) return 0;
  const auto found = std::find_if(ring->keys.begin(), ring->keys.end(), [name](const Key& key) {
    return std::equal(key.name.begin(), key.name.end(), name);
  });
  if (found == ring->keys.end()) return 0;
  if (!Prepare(*found, iv, cipher, mac, false)) return -1;
  return found == ring->keys.begin() ? 1 : 2;
}

bool TicketKeyRing::Prepare(const Key& key, const uint8_t* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac,
                            bool seal) const {
  char digest[] = "SHA256";
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, const_cast<uint8_t*>(key.mac_key.data()),
                                        key.mac_key.size()),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_end(),
  };
  if (EVP_MAC_CTX_set_params(mac, parameters) != 1) return false;
  const auto initialize = seal ? EVP_EncryptInit_ex2 : EVP_DecryptInit_ex2;
  return initialize(cipher, aes_.get(), key.cipher_key.data(), iv, nullptr) == 1;
}

}  // namespace trustline
