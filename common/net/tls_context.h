// The TLS settings, certificate and session-ticket keys of a phone-facing listener.
#pragma once

#include <openssl/ossl_typ.h>

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/net/ticket_key_ring.h"
#include "common/x509/openssl_ptr.h"

namespace trustline {

struct TlsContextOptions {
  // PEM: the server's certificate, then the certificates that lead to its authority (none when self-signed).
  std::string certificate_chain_pem;

  // The certificate's private key; borrowed for the call (the context keeps a reference of its own).
  EVP_PKEY* private_key = nullptr;

  // For the oldest phones: TLS 1.0 and 1.1 and SHA-1 signatures on this context only.
  bool allow_tls10 = false;

  // How long a client may resume a session, by ticket or by session id.
  std::chrono::seconds session_lifetime = std::chrono::hours(24);

  // How long one ticket key makes new tickets. It goes on opening old ones for `session_lifetime`.
  std::chrono::seconds ticket_key_interval = std::chrono::hours(1);

  // Sessions remembered for TLS 1.2 clients that resume by session id (RFC 5246, 7.4.1.2), for all workers together. A
  // tenth of them where clients show certificates: each session then holds what its client has shown.
  long session_cache_size = 20'480;

  // Asks clients for a certificate, of any authority. They need not show one (SSL_VERIFY_PEER, without CA names); the
  // handshake proves only that who shows one has its key. What the certificate is worth its reader judges.
  bool ask_client_certificate = false;
};

// Immutable but for the ticket keys; shared by all workers and safe to use from any thread.
// TLS 1.2 and 1.3, ECDHE and (for old phones) RSA key transport; no renegotiation or compression; one ticket a
// handshake.
class TlsContext {
 public:
  // InvalidArgument when the PEM has no certificate or the key does not belong to it.
  static absl::StatusOr<std::shared_ptr<TlsContext>> Create(const TlsContextOptions& options);

  SSL_CTX* ssl_ctx() const { return context_.get(); }
  bool allow_tls10() const { return allow_tls10_; }

  // Makes a new ticket key when the current one is older than the interval. Never blocks a handshake.
  void RotateTicketKeysIfDue() { ticket_keys_.RotateIfDue(); }
  // Makes a new ticket key now. Tickets of older keys still open until their lifetime ends.
  void RotateTicketKeys() { ticket_keys_.Rotate(); }

 private:
  explicit TlsContext(const TlsContextOptions& options);

  bool allow_tls10_;
  TicketKeyRing ticket_keys_;
  SslCtxPtr context_;
};

// The certificate that the peer has shown, DER; empty when it showed none. A resumed session still has it.
std::string PeerCertificateDer(const SSL* ssl);

// Why a TLS call failed, in words for an administrator, from the thread's OpenSSL error queue, which it empties.
// `ssl_error` is SSL_get_error()'s result and `error_number` the errno of the failed call.
std::string TlsFailureReason(SSL* ssl, int ssl_error, int error_number);

}  // namespace trustline
