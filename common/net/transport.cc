#include "common/net/transport.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "common/net/socket_bio.h"

namespace trustline {
namespace {

class TlsTransport final : public Transport {
 public:
  explicit TlsTransport(SslPtr ssl) : ssl_(std::move(ssl)) {}

  Outcome ShakeHands() override {
    const Outcome outcome = Run([this] { return SSL_do_handshake(ssl_.get()); });
    return outcome == Outcome::kEnd ? Outcome::kFailed : outcome;
  }

  Handshake handshake() const override {
    return SSL_session_reused(ssl_.get()) ? Handshake::kResumed : Handshake::kFull;
  }

  std::shared_ptr<const std::string> peer_certificate() const override {
    std::string der = PeerCertificateDer(ssl_.get());
    return der.empty() ? nullptr : std::make_shared<const std::string>(std::move(der));
  }

  ReadResult Read(std::span<uint8_t> room) override {
    int count = 0;
    const Outcome outcome =
        Run([&] { return count = SSL_read(ssl_.get(), room.data(), static_cast<int>(room.size())); });
    return {outcome, outcome == Outcome::kDone ? static_cast<size_t>(count) : 0};
  }

  Outcome Write(ByteView bytes) override {
    const Outcome outcome = Run([&] { return SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size())); });
    return outcome == Outcome::kEnd ? Outcome::kFailed : outcome;
  }

  void SayEnd() override {
    SSL_shutdown(ssl_.get());
    ERR_clear_error();
  }

 private:
  template <typename Call>
  Outcome Run(Call call) {
    ERR_clear_error();
    errno = 0;
    const int result = call();
    if (result > 0) return Outcome::kDone;
    const int error_number = errno;
    const int error = SSL_get_error(ssl_.get(), result);
    if (error == SSL_ERROR_WANT_READ) return Outcome::kWantRead;
    if (error == SSL_ERROR_WANT_WRITE) return Outcome::kWantWrite;
    failure_ = TlsFailureReason(ssl_.get(), error, error_number);
    return error == SSL_ERROR_ZERO_RETURN ? Outcome::kEnd : Outcome::kFailed;
  }

  const SslPtr ssl_;
};

class PlainTransport final : public Transport {
 public:
  explicit PlainTransport(int fd) : fd_(fd) {}

  Outcome ShakeHands() override { return Outcome::kDone; }
  Handshake handshake() const override { return Handshake::kNone; }
  std::shared_ptr<const std::string> peer_certificate() const override { return nullptr; }

  ReadResult Read(std::span<uint8_t> room) override {
    const ssize_t count = recv(fd_, room.data(), room.size(), 0);
    if (count > 0) return {Outcome::kDone, static_cast<size_t>(count)};
    if (count == 0) return {Outcome::kEnd};
    return {IsTransient(errno) ? Outcome::kWantRead : Failed(errno)};
  }

  Outcome Write(ByteView bytes) override {
    const ssize_t count = send(fd_, bytes.data() + sent_, bytes.size() - sent_, MSG_NOSIGNAL);
    if (count < 0) return IsTransient(errno) ? Outcome::kWantWrite : Failed(errno);
    sent_ += static_cast<size_t>(count);
    if (sent_ < bytes.size()) return Outcome::kWantWrite;
    sent_ = 0;
    return Outcome::kDone;
  }

  void SayEnd() override {}

 private:
  static bool IsTransient(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

  Outcome Failed(int error) {
    failure_ = std::strerror(error);
    return Outcome::kFailed;
  }

  const int fd_;
  size_t sent_ = 0;  // of the answer that is under way
};

}  // namespace

std::unique_ptr<Transport> MakeTlsTransport(const TlsContext& context, int fd) {
  SslPtr ssl(SSL_new(context.ssl_ctx()));
  if (ssl == nullptr || !AttachSocket(ssl.get(), fd)) {
    ERR_clear_error();
    return nullptr;
  }
  SSL_set_accept_state(ssl.get());
  return std::make_unique<TlsTransport>(std::move(ssl));
}

std::unique_ptr<Transport> MakePlainTransport(int fd) { return std::make_unique<PlainTransport>(fd); }

}  // namespace trustline
