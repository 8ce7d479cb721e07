// A blocking TLS client: the virtual phone's connection, and that of tests and demonstrations.
#pragma once

#include <openssl/ossl_typ.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/bytes/bytes.h"
#include "common/bytes/sha256.h"
#include "common/x509/certificate.h"

namespace trustline {

// A resumable session as OpenSSL keeps it. Null when there is none.
using TlsSession = std::shared_ptr<SSL_SESSION>;

enum class TlsVersion { kTls10, kTls11, kTls12, kTls13 };

struct TlsClientOptions {
  TlsVersion min_version = TlsVersion::kTls12;  // Below 1.2 the security level is 0, as such phones need.
  TlsVersion max_version = TlsVersion::kTls13;
  std::chrono::milliseconds timeout = std::chrono::seconds(10);  // For connecting with handshake, and for each call.
  TlsSession session;                                            // To resume; from TlsClient::Session().
  bool use_tickets = true;                                       // False: resumption by session id only.
  std::string ciphers;         // OpenSSL cipher list for TLS 1.2 and below; empty for the default.
  std::string source_address;  // Local address to connect from; empty for any.

  // The client's own certificate, then those that lead to its authority; empty for none. Shown to servers that ask.
  std::vector<Certificate> certificate_chain;
  EVP_PKEY* private_key = nullptr;  // of the first; borrowed for the call

  // The only certificate to accept. When empty the server's certificate is NOT verified.
  std::optional<Sha256Digest> expected_certificate;
};

// One connection, used by one thread at a time. Errors: Unavailable (nobody listens, connection ended),
// DeadlineExceeded, InvalidArgument (options that
// make no sense), Unauthenticated (another certificate than expected), FailedPrecondition (handshake refused, with
// the reason).
class TlsClient {
 public:
  // `host` is an IPv4 or IPv6 address, or a name.
  static absl::StatusOr<TlsClient> Connect(const std::string& host, uint16_t port,
                                           const TlsClientOptions& options = {});

  TlsClient(TlsClient&&) noexcept;
  TlsClient& operator=(TlsClient&&) noexcept;
  ~TlsClient();  // Closes without close_notify, unless Close() was called.

  // Sends all of `bytes` in one TLS write.
  absl::Status Write(ByteView bytes);

  // Exactly `count` bytes. Unavailable when the server closes earlier.
  absl::StatusOr<std::string> ReadExactly(size_t count);
  // What comes next, 1 to `maximum` bytes; empty when the server has closed with close_notify.
  absl::StatusOr<std::string> ReadSome(size_t maximum = 16'384);

  std::string peer_certificate_der() const;
  TlsVersion version() const;
  std::string cipher() const;
  bool resumed() const;

  // The session to resume later. With TLS 1.3 it exists only after something was read. Null when there is none.
  TlsSession Session() const;

  // Sends close_notify and closes the socket.
  void Close();
  // Closes with a TCP reset, as a machine that died would.
  void Reset();

 private:
  class Impl;
  explicit TlsClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace trustline
