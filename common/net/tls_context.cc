#include "common/net/tls_context.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <cstring>

#include "common/status/status.h"
#include "common/x509/openssl_error.h"

namespace trustline {
namespace {

// Forward secrecy first; RSA key transport (RFC 5246, 7.4.7.1) last, for phones that know nothing else.
constexpr char kCiphers[] =
    "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:kRSA+AESGCM:kRSA+AES:!aNULL:!eNULL:!PSK:!SRP:!CAMELLIA:!ARIA:!AESCCM";

// Sessions belong to a context's own ticket keys and cache, so that one name does for all
// (SSL_CTX_set_session_id_context).
constexpr unsigned char kSessionIdContext[] = "trustline";

// Bytes of the certificates that a client may show, which it sends before anybody knows it. A handshake has a buffer of
// that size in any case; four RSA certificates take half of it.
constexpr long kLargestClientChain = 16 * 1'024;

// How many fewer sessions are remembered when each holds certificates.
constexpr long kSessionCacheShare = 10;

// Instead of OpenSSL's path validation, so that nothing of what a stranger shows is computed with but its one key.
int AcceptAnyCertificate(X509_STORE_CTX* context, void*) {
  X509_STORE_CTX_set_error(context, X509_V_OK);
  return 1;
}

int OnTicketKey(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac, int seal) {
  const auto* keys = static_cast<const TicketKeyRing*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  return seal ? keys->Seal(name, iv, cipher, mac) : keys->Open(name, iv, cipher, mac);
}

absl::Status UseCertificateChain(SSL_CTX* context, const std::string& pem) {
  BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (bio == nullptr) return OpenSslInternal("reading the TLS certificate");
  X509Ptr certificate(PEM_read_bio_X509_AUX(bio.get(), nullptr, nullptr, nullptr));
  if (certificate == nullptr) {
    ERR_clear_error();
    return InvalidArgument("the TLS certificate file holds no PEM certificate (-----BEGIN CERTIFICATE-----)");
  }
  if (SSL_CTX_use_certificate(context, certificate.get()) != 1) {
    return OpenSslInvalidArgument("the TLS certificate does not suit this listener");
  }
  while (X509Ptr issuer{PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)}) {
    if (SSL_CTX_add0_chain_cert(context, issuer.get()) != 1)
      return OpenSslInternal("using the TLS certificate's chain");
    (void)issuer.release();  // The context owns it now.
  }
  // The loop ends at "no start line" when everything was read.
  const unsigned long error = ERR_peek_last_error();
  ERR_clear_error();
  if (ERR_GET_LIB(error) != ERR_LIB_PEM || ERR_GET_REASON(error) != PEM_R_NO_START_LINE) {
    return InvalidArgument("the TLS certificate file has a damaged certificate after its first");
  }
  return absl::OkStatus();
}

const char* VersionName(int version) {
  switch (version) {
    case SSL3_VERSION:
      return "SSL 3.0";
    case TLS1_VERSION:
      return "TLS 1.0";
    case TLS1_1_VERSION:
      return "TLS 1.1";
    case TLS1_2_VERSION:
      return "TLS 1.2";
    default:
      return "an unknown version of TLS";
  }
}

// What an administrator should make of OpenSSL's reason; null when its own words say enough.
const char* Explanation(int reason) {
  switch (reason) {
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
      return "the peer speaks HTTP without TLS";
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_RECORD_LENGTH_MISMATCH:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_UNEXPECTED_MESSAGE:
      return "what the peer sent is not a TLS handshake";
    case SSL_R_NO_SHARED_CIPHER:
      return "the peer offers no cipher suite that this listener accepts";
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
      return "the peer does not trust this server's certificate";
    case SSL_R_BAD_SIGNATURE:
      return "the peer does not have the key of the certificate that it shows";
    case SSL_R_EXCESSIVE_MESSAGE_SIZE:
      return "a message of the handshake, such as the peer's certificates, is larger than this listener reads";
    case SSL_R_UNEXPECTED_EOF_WHILE_READING:
      return "the peer closed the connection";
    default:
      return nullptr;
  }
}

}  // namespace

TlsContext::TlsContext(const TlsContextOptions& options)
    : allow_tls10_(options.allow_tls10), ticket_keys_(options.ticket_key_interval, options.session_lifetime) {}

absl::StatusOr<std::shared_ptr<TlsContext>> TlsContext::Create(const TlsContextOptions& options) {
  ERR_clear_error();
  std::shared_ptr<TlsContext> result(new TlsContext(options));
  result->context_.reset(SSL_CTX_new(TLS_server_method()));
  SSL_CTX* context = result->context_.get();
  if (context == nullptr) return OpenSslInternal("making a TLS context");

  // Explicit, because openssl.cnf of the machine sets other defaults.
  SSL_CTX_set_security_level(context, options.allow_tls10 ? 0 : 2);
  if (SSL_CTX_set_min_proto_version(context, options.allow_tls10 ? TLS1_VERSION : TLS1_2_VERSION) != 1 ||
      SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) != 1 || SSL_CTX_set_cipher_list(context, kCiphers) != 1) {
    return OpenSslInternal("setting TLS versions and cipher suites");
  }
  // A missing close_notify is harmless where every message has its length; counted as an error it would forget the
  // session that the phone means to resume.
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                   SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_CLEANSE_PLAINTEXT);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_read_ahead(context, 1);  // A record in one read(2), not in two.
  SSL_CTX_set_verify(context, options.ask_client_certificate ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  SSL_CTX_set_cert_verify_callback(context, AcceptAnyCertificate, nullptr);
  SSL_CTX_set_max_cert_list(context, kLargestClientChain);

  SSL_CTX_set_timeout(context, static_cast<long>(options.session_lifetime.count()));
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_SERVER);
  const long share = options.ask_client_certificate ? kSessionCacheShare : 1;
  SSL_CTX_sess_set_cache_size(context, std::max(1L, options.session_cache_size / share));  // OpenSSL's 0 is no limit.
  SSL_CTX_set_num_tickets(context, 1);
  SSL_CTX_set_session_id_context(context, kSessionIdContext, sizeof(kSessionIdContext) - 1);
  SSL_CTX_set_app_data(context, &result->ticket_keys_);
  SSL_CTX_set_tlsext_ticket_key_evp_cb(context, OnTicketKey);

  RETURN_IF_ERROR(UseCertificateChain(context, options.certificate_chain_pem));
  if (options.private_key == nullptr) return InvalidArgument("the TLS listener has no private key");
  if (SSL_CTX_use_PrivateKey(context, options.private_key) != 1 || SSL_CTX_check_private_key(context) != 1) {
    ERR_clear_error();
    return InvalidArgument("the private key does not belong to the TLS certificate");
  }
  return result;
}

std::string PeerCertificateDer(const SSL* ssl) {
  const X509* certificate = SSL_get0_peer_certificate(ssl);
  if (certificate == nullptr) return "";
  unsigned char* raw = nullptr;
  const int size = i2d_X509(certificate, &raw);
  const OpenSslBytesPtr der(raw);
  ERR_clear_error();
  return size <= 0 ? "" : std::string(reinterpret_cast<const char*>(der.get()), static_cast<size_t>(size));
}

std::string TlsFailureReason(SSL* ssl, int ssl_error, int error_number) {
  const unsigned long last = ERR_peek_last_error();
  unsigned long error = ERR_get_error();  // The first one is the cause.
  ERR_clear_error();
  // But before this one stand the details of a calculation.
  if (ERR_GET_LIB(last) == ERR_LIB_SSL && ERR_GET_REASON(last) == SSL_R_BAD_SIGNATURE) error = last;
  if (error == 0) {
    if (ssl_error == SSL_ERROR_SYSCALL && error_number != 0) return std::strerror(error_number);
    return Explanation(SSL_R_UNEXPECTED_EOF_WHILE_READING);
  }
  if (ERR_SYSTEM_ERROR(error)) return std::strerror(ERR_GET_REASON(error));
  const int reason = ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) : 0;
  if (reason == SSL_R_UNSUPPORTED_PROTOCOL || reason == SSL_R_VERSION_TOO_LOW) {
    return fmt::format(
        "the peer offers {} at most, which this listener refuses; an old phone needs a listener that allows TLS 1.0",
        VersionName(SSL_client_version(ssl)));
  }
  const char* words = ERR_reason_error_string(error);
  const std::string own = words == nullptr ? fmt::format("OpenSSL error {:08x}", error) : words;
  if (const char* explanation = Explanation(reason)) return fmt::format("{} ({})", explanation, own);
  return own;
}

}  // namespace trustline
