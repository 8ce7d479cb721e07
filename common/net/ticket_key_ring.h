// Keys that seal session tickets (RFC 5077, 4): one makes new tickets, older ones still open theirs.
#pragma once

#include <openssl/ossl_typ.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "common/x509/openssl_ptr.h"

namespace trustline {

// Handshakes read the keys without a lock; rotation swaps an immutable ring.
class TicketKeyRing {
 public:
  // A key makes tickets for `interval` and opens them for `lifetime` more.
  TicketKeyRing(std::chrono::seconds interval, std::chrono::seconds lifetime);
  ~TicketKeyRing();
  TicketKeyRing(const TicketKeyRing&) = delete;
  TicketKeyRing& operator=(const TicketKeyRing&) = delete;

  void RotateIfDue();
  void Rotate();

  // The work of OpenSSL's ticket key callback (SSL_CTX_set_tlsext_ticket_key_evp_cb(3)), with its results: -1 error,
  // 0 unknown key, 1 use, 2 use and renew.
  int Seal(uint8_t* name, uint8_t* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac) const;
  int Open(const uint8_t* name, const uint8_t* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac) const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Key {
    std::array<uint8_t, 16> name;
    std::array<uint8_t, 32> cipher_key;
    std::array<uint8_t, 32> mac_key;
    Clock::time_point created;
  };
  struct Ring {
    ~Ring();
    std::vector<Key> keys;  // The newest first.
  };
  struct Retired {
    std::unique_ptr<const Ring> ring;
    Clock::time_point since;
  };

  bool Prepare(const Key& key, const uint8_t* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac, bool seal) const;
  void RotateLocked(Clock::time_point now);

  const std::chrono::seconds interval_;
  const std::chrono::seconds lifetime_;
  EvpCipherPtr aes_;

  std::atomic<const Ring*> current_{nullptr};

  std::mutex rotation_;  // Guards what follows; handshakes never take it.
  std::unique_ptr<const Ring> owner_;
  std::vector<Retired> retired_;
};

}  // namespace trustline
