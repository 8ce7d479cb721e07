#include "common/rpc/authority_fetch.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "common/posix/address_info.h"
#include "common/posix/unique_fd.h"
#include "common/status/status.h"
#include "common/x509/openssl_error.h"
#include "common/x509/openssl_ptr.h"

namespace trustline {
namespace {

// Connects with `timeout` for the connection and for every read and write after it.
absl::StatusOr<UniqueFd> Connect(const std::string& address, absl::Duration timeout) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) return InvalidArgument("'{}' is not an address of the form host:port", address);
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(host.c_str(), address.c_str() + colon + 1, &hints, &found); error != 0) {
    return Unavailable("cannot resolve {}: {}", address, gai_strerror(error));
  }
  const AddressInfoPtr list(found);
  const timeval limit = absl::ToTimeval(timeout);
  int error = 0;
  for (const addrinfo* entry = list.get(); entry != nullptr; entry = entry->ai_next) {
    UniqueFd socket(::socket(entry->ai_family, entry->ai_socktype | SOCK_CLOEXEC, entry->ai_protocol));
    // On Linux the send timeout bounds connect() too (socket(7)).
    if (socket.valid() && setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) == 0 &&
        setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0 &&
        connect(socket.get(), entry->ai_addr, entry->ai_addrlen) == 0) {
      return socket;
    }
    error = errno;
  }
  return Unavailable("{} does not answer: {}", address, std::strerror(error));
}

}  // namespace

absl::StatusOr<Certificate> FetchAuthority(const std::string& address, const Sha256Digest& sha256,
                                           absl::Duration timeout) {
  ASSIGN_OR_RETURN(const UniqueFd socket, Connect(address, timeout));
  const OpenSslErrorScope errors;
  const SslCtxPtr context(SSL_CTX_new(TLS_client_method()));
  if (context == nullptr || SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION) != 1) {
    return OpenSslInternal("cannot make a TLS client");
  }
  // Nothing is known about the peer yet: the digest decides about each certificate of its chain.
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  const SslPtr ssl(SSL_new(context.get()));
  // "h2" in the form of ALPN (RFC 7301): gRPC ends a handshake without it.
  constexpr unsigned char kHttp2[] = {2, 'h', '2'};
  if (ssl == nullptr || SSL_set_alpn_protos(ssl.get(), kHttp2, sizeof(kHttp2)) != 0 ||
      SSL_set_fd(ssl.get(), socket.get()) != 1) {
    return OpenSslInternal("cannot make a TLS client");
  }
  if (SSL_connect(ssl.get()) != 1) {
    return Unavailable("{} does not speak TLS 1.3: {}", address, DrainOpenSslErrors());
  }
  STACK_OF(X509)* const chain = SSL_get_peer_cert_chain(ssl.get());
  for (int i = 0; i < sk_X509_num(chain); ++i) {
    absl::StatusOr<Certificate> certificate = Certificate::FromX509(sk_X509_value(chain, i));
    if (certificate.ok() && certificate->sha256() == sha256 && certificate->is_ca()) return certificate;
  }
  return PermissionDenied(
      "{} is not the service that the token is from: none of its certificates has the authority's SHA-256 {}; check "
      "the "
      "address, and that nobody stands in between",
      address, ToHex(sha256));
}

}  // namespace trustline
