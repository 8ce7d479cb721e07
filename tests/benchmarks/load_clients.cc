#include "tests/benchmarks/load_clients.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "common/net/socket_bio.h"
#include "common/net/unique_fd.h"
#include "common/x509/openssl_ptr.h"

namespace trustline {
namespace {

class LoadClient {
 public:
  explicit LoadClient(const Load& load) : load_(load), context_(SSL_CTX_new(TLS_client_method())) {
    SSL_CTX_set_max_proto_version(context_.get(), load.max_version);
    SSL_CTX_set_read_ahead(context_.get(), 1);
    SSL_CTX_set_options(context_.get(), SSL_OP_IGNORE_UNEXPECTED_EOF);
    request_.assign(load.request_size, 'q');
  }

  bool Ask(bool& resumed) {
    const UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(load_.port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int on = 1;
    setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) return false;
    const SslPtr ssl(SSL_new(context_.get()));
    AttachSocket(ssl.get(), fd.get());
    if (load_.resume && session_ != nullptr) SSL_set_session(ssl.get(), session_.get());
    ERR_clear_error();
    if (SSL_connect(ssl.get()) != 1) return false;
    resumed = SSL_session_reused(ssl.get()) == 1;
    SSL_write(ssl.get(), request_.data(), static_cast<int>(request_.size()));
    char buffer[4'096];
    size_t received = 0;
    while (received < load_.answer_size) {
      const int count = SSL_read(ssl.get(), buffer, sizeof(buffer));
      if (count <= 0) return false;
      received += static_cast<size_t>(count);
    }
    if (load_.resume) session_.reset(SSL_get1_session(ssl.get()));
    SSL_set_shutdown(ssl.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    return true;
  }

 private:
  const Load& load_;
  SslCtxPtr context_;
  SslSessionPtr session_;
  std::string request_;
};

}  // namespace

LoadResult RunLoad(const Load& load) {
  std::atomic<uint64_t> answers{0};
  std::atomic<uint64_t> resumed{0};
  std::atomic<uint64_t> failures{0};
  const auto start = std::chrono::steady_clock::now();
  const auto end = start + load.duration;
  std::vector<std::thread> threads;
  for (size_t i = 0; i < load.clients; ++i) {
    threads.emplace_back([&] {
      LoadClient client(load);
      while (std::chrono::steady_clock::now() < end) {
        bool reused = false;
        if (client.Ask(reused)) {
          ++answers;
          resumed += reused ? 1 : 0;
        } else {
          ++failures;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  return {answers, resumed, failures, taken.count()};
}

}  // namespace trustline
