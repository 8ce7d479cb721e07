#include "common/net/http_server.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/string_body.hpp>
#include <optional>
#include <unordered_set>

#include "common/net/io_workers.h"
#include "common/net/ip_address.h"
#include "common/net/listening_socket.h"
#include "common/status/status.h"

namespace trustline {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

// Rest after accept fails for lack of descriptors or memory.
constexpr std::chrono::milliseconds kAcceptPause{100};

class HttpConnection;
using HttpConnections = std::unordered_set<std::shared_ptr<HttpConnection>>;

class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
 public:
  HttpConnection(asio::ip::tcp::socket socket, const HttpServerOptions& options, const HttpServer::Handler& handler,
                 HttpConnections& connections)
      : stream_(std::move(socket)),
        options_(options),
        handler_(handler),
        connections_(connections),
        buffer_(2 * options.max_header_size) {}

  void Read() {
    parser_.emplace();
    parser_->header_limit(static_cast<uint32_t>(options_.max_header_size));
    stream_.expires_after(options_.timeout);
    http::async_read(stream_, buffer_, *parser_,
                     [self = shared_from_this()](beast::error_code error, size_t) { self->OnRead(error); });
  }

  void Close() {
    stream_.close();
    connections_.erase(shared_from_this());
  }

 private:
  void OnRead(beast::error_code error) {
    const bool malformed = error.category() == beast::error_code(http::error::bad_method).category();
    if (error == http::error::end_of_stream || error == http::error::partial_message || (error && !malformed)) {
      Close();
      return;
    }
    if (error) {
      Answer({400, "text/plain; charset=utf-8", error.message() + "\n"}, 11, false, false);
      return;
    }
    const auto& request = parser_->get();
    const bool keep_alive = request.keep_alive();
    if (request.method() != http::verb::get && request.method() != http::verb::head) {
      Answer({405, "text/plain; charset=utf-8", "only GET and HEAD\n"}, request.version(), keep_alive, false);
      return;
    }
    const std::string_view target(request.target().data(), request.target().size());
    Answer(handler_(target.substr(0, target.find('?'))), request.version(), keep_alive,
           request.method() == http::verb::head);
  }

  void Answer(HttpResponse answer, unsigned version, bool keep_alive, bool head) {
    response_ = {};
    response_.version(version);
    response_.result(static_cast<unsigned>(answer.status));
    response_.set(http::field::content_type, answer.content_type);
    if (answer.status == 405) response_.set(http::field::allow, "GET, HEAD");
    response_.keep_alive(keep_alive);
    response_.content_length(answer.body.size());
    if (!head) response_.body() = std::move(answer.body);
    stream_.expires_after(options_.timeout);
    http::async_write(stream_, response_, [self = shared_from_this()](beast::error_code error, size_t) {
      if (error || self->response_.need_eof()) {
        self->Close();
      } else {
        self->Read();
      }
    });
  }

  beast::tcp_stream stream_;
  const HttpServerOptions& options_;
  const HttpServer::Handler& handler_;
  HttpConnections& connections_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::empty_body>> parser_;
  http::response<http::string_body> response_;
};

}  // namespace

class HttpServer::Impl {
 public:
  Impl(const HttpServerOptions& options, Handler handler, UniqueFd listener)
      : options_(options),
        handler_(std::move(handler)),
        port_(LocalPort(listener.get())),
        worker_(0, "http"),
        acceptor_(worker_.context()),
        pause_(worker_.context()) {
    const bool is_v6 = options_.address.find(':') != std::string::npos;
    acceptor_.assign(is_v6 ? asio::ip::tcp::v6() : asio::ip::tcp::v4(), listener.get());
    listener.Release();  // The acceptor owns it now.
  }

  absl::Status Start() {
    Accept();
    return worker_.Start();
  }

  void Stop() {
    worker_.Join();
    // The thread has ended: what it owned is this thread's to close.
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    while (!connections_.empty()) (*connections_.begin())->Close();
  }

  uint16_t port() const { return port_; }

 private:
  void Accept() {
    acceptor_.async_accept([this](beast::error_code error, asio::ip::tcp::socket socket) {
      if (error == asio::error::operation_aborted) return;
      if (error) {
        pause_.expires_after(kAcceptPause);
        pause_.async_wait([this](beast::error_code cancelled) {
          if (!cancelled) Accept();
        });
        return;
      }
      if (connections_.size() < options_.max_connections) {
        const auto connection = std::make_shared<HttpConnection>(std::move(socket), options_, handler_, connections_);
        connections_.insert(connection);
        connection->Read();
      }
      Accept();
    });
  }

  const HttpServerOptions options_;
  const Handler handler_;
  const uint16_t port_;
  HttpConnections connections_;
  IoWorker worker_;
  asio::ip::tcp::acceptor acceptor_;
  asio::steady_timer pause_;
};

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const HttpServerOptions& options, Handler handler) {
  ASSIGN_OR_RETURN(UniqueFd listener, ListenOn(options.address, options.port));
  std::unique_ptr<Impl> impl;
  try {
    impl = std::make_unique<Impl>(options, std::move(handler), std::move(listener));
  } catch (const boost::system::system_error& error) {
    return Unavailable("cannot watch the listening socket: {}", error.what());
  }
  RETURN_IF_ERROR(impl->Start());
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

HttpServer::~HttpServer() { Stop(); }

uint16_t HttpServer::port() const { return impl_->port(); }
void HttpServer::Stop() { impl_->Stop(); }

}  // namespace trustline
