#include "tests/benchmarks/floor_server.h"

#include <openssl/err.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <string>

#include "common/x509/openssl_ptr.h"

namespace trustline {
namespace {

struct FloorConnection {
  int fd;
  SslPtr ssl;
  size_t received = 0;
};

// True when the connection is finished, well or not.
bool Serve(FloorConnection& connection, size_t request_size, const std::string& answer) {
  SSL* ssl = connection.ssl.get();
  ERR_clear_error();
  if (!SSL_is_init_finished(ssl)) {
    const int result = SSL_accept(ssl);
    if (result != 1) return SSL_get_error(ssl, result) != SSL_ERROR_WANT_READ;
  }
  std::array<char, 16'384> buffer;
  while (connection.received < request_size) {
    const int count = SSL_read(ssl, buffer.data(), buffer.size());
    if (count <= 0) return SSL_get_error(ssl, count) != SSL_ERROR_WANT_READ;
    connection.received += static_cast<size_t>(count);
  }
  SSL_write(ssl, answer.data(), static_cast<int>(answer.size()));
  SSL_shutdown(ssl);
  return true;
}

}  // namespace

void RunFloorServer(int listener, SSL_CTX* context, size_t request_size, const std::string& answer) {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  epoll_event listening{EPOLLIN, {.ptr = nullptr}};
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &listening);
  std::array<epoll_event, 128> events;
  while (true) {
    const int count = epoll_wait(epoll, events.data(), events.size(), -1);
    for (int i = 0; i < count; ++i) {
      if (events[i].data.ptr == nullptr) {
        int fd;
        while ((fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
          auto* connection = new FloorConnection{fd, SslPtr(SSL_new(context))};
          SSL_set_fd(connection->ssl.get(), fd);
          epoll_event readable{EPOLLIN, {.ptr = connection}};
          epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &readable);
        }
        continue;
      }
      auto* connection = static_cast<FloorConnection*>(events[i].data.ptr);
      if (Serve(*connection, request_size, answer)) {
        close(connection->fd);
        delete connection;
      }
    }
  }
}

}  // namespace trustline
