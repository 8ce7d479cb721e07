#include "common/net/tls_client.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <tuple>

#include "common/net/ip_address.h"
#include "common/net/socket_bio.h"
#include "common/net/tls_context.h"
#include "common/posix/address_info.h"
#include "common/posix/unique_fd.h"
#include "common/status/status.h"
#include "common/x509/openssl_error.h"
#include "common/x509/openssl_ptr.h"

namespace trustline {
namespace {

using SteadyClock = std::chrono::steady_clock;

int WireVersion(TlsVersion version) {
  switch (version) {
    case TlsVersion::kTls10:
      return TLS1_VERSION;
    case TlsVersion::kTls11:
      return TLS1_1_VERSION;
    case TlsVersion::kTls12:
      return TLS1_2_VERSION;
    case TlsVersion::kTls13:
      return TLS1_3_VERSION;
  }
  return TLS1_3_VERSION;
}

absl::StatusOr<AddressInfoPtr> Resolve(const std::string& host, const std::string& service, int flags) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(host.c_str(), service.c_str(), &hints, &found); error != 0) {
    return Unavailable("cannot find the address of {}: {}", host, gai_strerror(error));
  }
  return AddressInfoPtr(found);
}

// False when the deadline passed.
bool Poll(int fd, short events, SteadyClock::time_point deadline) {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyClock::now()).count();
    if (left <= 0) return false;
    pollfd entry{fd, events, 0};
    const int ready = poll(&entry, 1, static_cast<int>(left));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return true;  // The next call on the socket tells the error.
  }
}

absl::StatusOr<UniqueFd> ConnectTcp(const std::string& host, uint16_t port, const TlsClientOptions& options,
                                    SteadyClock::time_point deadline) {
  ASSIGN_OR_RETURN(const AddressInfoPtr targets, Resolve(host, std::to_string(port), AI_NUMERICSERV));
  absl::Status status = Unavailable("{} has no address", host);
  for (const addrinfo* target = targets.get(); target != nullptr; target = target->ai_next) {
    UniqueFd fd(socket(target->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const int on = 1;
    setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (!options.source_address.empty()) {
      ASSIGN_OR_RETURN(const AddressInfoPtr source, Resolve(options.source_address, "0", AI_NUMERICHOST));
      if (bind(fd.get(), source->ai_addr, source->ai_addrlen) != 0) {
        return Unavailable("cannot connect from {}: {}", options.source_address, std::strerror(errno));
      }
    }
    int error = 0;
    if (connect(fd.get(), target->ai_addr, target->ai_addrlen) != 0) {
      error = errno;
      if (error == EINPROGRESS) {
        if (!Poll(fd.get(), POLLOUT, deadline)) {
          return DeadlineExceeded("{} did not accept the connection in time", EndpointText(host, port));
        }
        socklen_t size = sizeof(error);
        getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
      }
    }
    if (error == 0) return fd;
    status = Unavailable("cannot connect to {}: {}", EndpointText(host, port), std::strerror(error));
  }
  return status;
}

// Made once for connections that are alike, because making one takes as long as a handshake. Kept for good: there are
// as many as ways to be a phone.
class Contexts {
 public:
  absl::StatusOr<SSL_CTX*> For(const TlsClientOptions& options) {
    const std::lock_guard lock(mutex_);
    SslCtxPtr& context = contexts_[{options.min_version, options.max_version, options.use_tickets, options.ciphers}];
    if (context == nullptr) {
      ASSIGN_OR_RETURN(context, Make(options));
    }
    return context.get();
  }

 private:
  static absl::StatusOr<SslCtxPtr> Make(const TlsClientOptions& options);

  std::mutex mutex_;
  std::map<std::tuple<TlsVersion, TlsVersion, bool, std::string>, SslCtxPtr> contexts_;
};

absl::StatusOr<SslCtxPtr> Contexts::Make(const TlsClientOptions& options) {
  SslCtxPtr context(SSL_CTX_new(TLS_client_method()));
  if (context == nullptr) return OpenSslInternal("making a TLS context");
  if (options.min_version < TlsVersion::kTls12) SSL_CTX_set_security_level(context.get(), 0);
  const std::string ciphers = options.ciphers.empty() ? "DEFAULT" : options.ciphers;
  if (SSL_CTX_set_min_proto_version(context.get(), WireVersion(options.min_version)) != 1 ||
      SSL_CTX_set_max_proto_version(context.get(), WireVersion(options.max_version)) != 1 ||
      SSL_CTX_set_cipher_list(context.get(), ciphers.c_str()) != 1) {
    return OpenSslInvalidArgument("setting TLS versions and cipher suites");
  }
  if (!options.use_tickets) SSL_CTX_set_options(context.get(), SSL_OP_NO_TICKET);
  SSL_CTX_set_options(context.get(), SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  return context;
}

absl::Status UseCertificate(SSL* ssl, const TlsClientOptions& options) {
  if (options.certificate_chain.empty()) return absl::OkStatus();
  if (options.private_key == nullptr) return InvalidArgument("the client's certificate has no private key");
  bool used = SSL_use_certificate(ssl, options.certificate_chain.front().x509()) == 1 &&
              SSL_use_PrivateKey(ssl, options.private_key) == 1;
  for (size_t index = 1; used && index < options.certificate_chain.size(); ++index) {
    used = SSL_add1_chain_cert(ssl, options.certificate_chain[index].x509()) == 1;
  }
  if (!used) return OpenSslInvalidArgument("using the client's certificate and key");
  return absl::OkStatus();
}

}  // namespace

class TlsClient::Impl {
 public:
  Impl(UniqueFd fd, SslPtr ssl, std::string endpoint, std::chrono::milliseconds timeout)
      : fd_(std::move(fd)), ssl_(std::move(ssl)), endpoint_(std::move(endpoint)), timeout_(timeout) {}

  // An end without close_notify must not make OpenSSL forget the session, which the owner may mean to resume.
  ~Impl() { SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); }

  // Repeats an SSL_* call until it has a result above zero. Zero stands for close_notify.
  template <typename Call>
  absl::StatusOr<int> Run(Call call, SteadyClock::time_point deadline) {
    if (!fd_.valid()) return Unavailable("the connection to {} is closed", endpoint_);
    while (true) {
      ERR_clear_error();
      errno = 0;
      const int result = call(ssl_.get());
      if (result > 0) return result;
      const int error_number = errno;
      const int error = SSL_get_error(ssl_.get(), result);
      short events = 0;
      switch (error) {
        case SSL_ERROR_WANT_READ:
          events = POLLIN;
          break;
        case SSL_ERROR_WANT_WRITE:
          events = POLLOUT;
          break;
        case SSL_ERROR_ZERO_RETURN:
          return 0;
        default:
          return Unavailable("{}: {}", endpoint_, TlsFailureReason(ssl_.get(), error, error_number));
      }
      if (!Poll(fd_.get(), events, deadline)) return DeadlineExceeded("{} did not answer in time", endpoint_);
    }
  }

  absl::StatusOr<std::string> Read(size_t maximum, SteadyClock::time_point deadline) {
    std::string bytes(maximum, '\0');
    ASSIGN_OR_RETURN(
        const int count,
        Run([&bytes](SSL* ssl) { return SSL_read(ssl, bytes.data(), static_cast<int>(bytes.size())); }, deadline));
    bytes.resize(static_cast<size_t>(count));
    return bytes;
  }

  SteadyClock::time_point Deadline() const { return SteadyClock::now() + timeout_; }
  SSL* ssl() const { return ssl_.get(); }
  UniqueFd& fd() { return fd_; }
  const std::string& endpoint() const { return endpoint_; }

 private:
  UniqueFd fd_;
  SslPtr ssl_;
  const std::string endpoint_;
  const std::chrono::milliseconds timeout_;
};

absl::StatusOr<TlsClient> TlsClient::Connect(const std::string& host, uint16_t port, const TlsClientOptions& options) {
  ERR_clear_error();
  const SteadyClock::time_point deadline = SteadyClock::now() + options.timeout;
  static Contexts& contexts = *new Contexts;
  ASSIGN_OR_RETURN(SSL_CTX* const context, contexts.For(options));
  SslPtr ssl(SSL_new(context));
  if (ssl == nullptr) return OpenSslInternal("making a TLS connection");
  if (options.session != nullptr && SSL_set_session(ssl.get(), options.session.get()) != 1) {
    return OpenSslInvalidArgument("the session cannot be resumed");
  }
  RETURN_IF_ERROR(UseCertificate(ssl.get(), options));
  ASSIGN_OR_RETURN(UniqueFd fd, ConnectTcp(host, port, options, deadline));
  if (!AttachSocket(ssl.get(), fd.get())) return OpenSslInternal("making a TLS connection");

  TlsClient client(std::make_unique<Impl>(std::move(fd), std::move(ssl), EndpointText(host, port), options.timeout));
  const auto handshake = client.impl_->Run([](SSL* raw) { return SSL_connect(raw); }, deadline);
  if (absl::IsDeadlineExceeded(handshake.status())) return handshake.status();
  if (!handshake.ok() || *handshake == 0) {
    return FailedPrecondition("TLS handshake refused: {}",
                              handshake.ok() ? "the server closed the connection" : StatusMessage(handshake.status()));
  }
  if (options.expected_certificate.has_value() &&
      Sha256(AsBytes(client.peer_certificate_der())) != *options.expected_certificate) {
    return Unauthenticated("{} has another certificate than the expected one with SHA-256 {}", client.impl_->endpoint(),
                           ToHex(*options.expected_certificate));
  }
  return client;
}

TlsClient::TlsClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TlsClient::TlsClient(TlsClient&&) noexcept = default;
TlsClient& TlsClient::operator=(TlsClient&&) noexcept = default;
TlsClient::~TlsClient() = default;

absl::Status TlsClient::Write(ByteView bytes) {
  if (bytes.empty()) return absl::OkStatus();
  return impl_
      ->Run([bytes](SSL* ssl) { return SSL_write(ssl, bytes.data(), static_cast<int>(bytes.size())); },
            impl_->Deadline())
      .status();
}

absl::StatusOr<std::string> TlsClient::ReadExactly(size_t count) {
  const SteadyClock::time_point deadline = impl_->Deadline();
  std::string bytes;
  while (bytes.size() < count) {
    ASSIGN_OR_RETURN(const std::string more, impl_->Read(count - bytes.size(), deadline));
    if (more.empty()) {
      return Unavailable("{} closed the connection after {} of {} bytes", impl_->endpoint(), bytes.size(), count);
    }
    bytes += more;
  }
  return bytes;
}

absl::StatusOr<std::string> TlsClient::ReadSome(size_t maximum) { return impl_->Read(maximum, impl_->Deadline()); }

std::string TlsClient::peer_certificate_der() const { return PeerCertificateDer(impl_->ssl()); }

TlsVersion TlsClient::version() const {
  switch (SSL_version(impl_->ssl())) {
    case TLS1_VERSION:
      return TlsVersion::kTls10;
    case TLS1_1_VERSION:
      return TlsVersion::kTls11;
    case TLS1_2_VERSION:
      return TlsVersion::kTls12;
    default:
      return TlsVersion::kTls13;
  }
}

std::string TlsClient::cipher() const { return SSL_get_cipher_name(impl_->ssl()); }
bool TlsClient::resumed() const { return SSL_session_reused(impl_->ssl()) == 1; }

TlsSession TlsClient::Session() const {
  SslSessionPtr session(SSL_get1_session(impl_->ssl()));
  if (session == nullptr || SSL_SESSION_is_resumable(session.get()) != 1) return nullptr;
  return TlsSession(std::move(session));
}

void TlsClient::Close() {
  if (!impl_->fd().valid()) return;
  ERR_clear_error();
  SSL_shutdown(impl_->ssl());
  ERR_clear_error();
  impl_->fd().Reset();
}

void TlsClient::Reset() {
  const linger abort{1, 0};
  setsockopt(impl_->fd().get(), SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
  impl_->fd().Reset();
}

}  // namespace trustline
