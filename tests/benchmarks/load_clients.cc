#include "tests/benchmarks/load_clients.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

#include "common/net/socket_bio.h"
#include "common/posix/unique_fd.h"
#include "common/x509/openssl_ptr.h"

namespace trustline {
namespace {

class LoadClient {
 public:
  explicit LoadClient(const Load& load) : load_(load), context_(SSL_CTX_new(TLS_client_method())) {
    SSL_CTX_set_max_proto_version(context_.get(), load.max_version);
    SSL_CTX_set_read_ahead(context_.get(), 1);
    SSL_CTX_set_options(context_.get(), SSL_OP_IGNORE_UNEXPECTED_EOF);
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
    SSL_write(ssl.get(), load_.request.data(), static_cast<int>(load_.request.size()));
    char buffer[4'096];
    size_t received = 0;
    while (received < load_.answer.size()) {
      const int count = SSL_read(ssl.get(), buffer + received, static_cast<int>(sizeof(buffer) - received));
      if (count <= 0) return false;
      received += static_cast<size_t>(count);
    }
    if (std::string_view(buffer, received) != load_.answer) return false;
    if (load_.resume) session_.reset(SSL_get1_session(ssl.get()));
    SSL_set_shutdown(ssl.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    return true;
  }

 private:
  const Load& load_;
  SslCtxPtr context_;
  SslSessionPtr session_;
};

}  // namespace

LoadResult RunLoad(const Load& load) {
  using Clock = std::chrono::steady_clock;
  LoadResult result;
  std::mutex mutex;
  const auto start = Clock::now();
  const auto end = start + load.duration;
  std::vector<std::thread> threads;
  for (size_t i = 0; i < load.clients; ++i) {
    threads.emplace_back([&, i] {
      LoadClient client(load);
      LoadResult own;
      // The clients take turns within an interval.
      Clock::time_point due = start + load.interval * i / load.clients;
      while (due < end) {
        std::this_thread::sleep_until(due);
        bool reused = false;
        if (client.Ask(reused)) {
          ++own.answers;
          own.resumed += reused ? 1 : 0;
          own.latencies.push_back(std::chrono::duration<double, std::milli>(Clock::now() - due).count());
        } else {
          ++own.failures;
        }
        due = load.interval.count() > 0 ? due + load.interval : Clock::now();
      }
      const std::lock_guard lock(mutex);
      result.answers += own.answers;
      result.resumed += own.resumed;
      result.failures += own.failures;
      result.latencies.insert(result.latencies.end(), own.latencies.begin(), own.latencies.end());
    });
  }
  for (std::thread& thread : threads) thread.join();
  result.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return result;
}

}  // namespace trustline
