#include "common/net/http_server.h"

#include <boost/asio/dispatch.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/span_body.hpp>
#include <cstring>
#include <optional>
#include <unordered_set>

#include "common/net/connection_limits.h"
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

// What the kernel keeps of a response for each connection; it doubles this. Else it may be megabytes.
constexpr int kSendBufferSize = 64 * 1024;
constexpr char kPlainText[] = "text/plain; charset=utf-8";

// What of a request its response depends on.
struct Request {
  unsigned version = 11;
  bool keep_alive = false;
  bool head = false;
  std::string if_none_match;
};

class HttpConnection;
using HttpConnections = std::unordered_set<std::shared_ptr<HttpConnection>>;

// What all connections of a server share.
struct HttpShared {
  HttpServerOptions options;
  HttpServer::DeferredHandler handler;
  // Shared, so that a late answer may still post to it.
  std::shared_ptr<IoWorker> worker = std::make_shared<IoWorker>(0, "http");
  HttpConnections connections;
};

class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
 public:
  HttpConnection(asio::ip::tcp::socket socket, ConnectionLimits::Slot slot, HttpShared& shared)
      : stream_(std::move(socket)),
        slot_(std::move(slot)),
        shared_(shared),
        buffer_(2 * shared.options.max_header_size) {}

  void Read() {
    parser_.emplace();
    parser_->header_limit(static_cast<uint32_t>(shared_.options.max_header_size));
    stream_.expires_after(shared_.options.timeout);
    http::async_read(stream_, buffer_, *parser_,
                     [self = shared_from_this()](beast::error_code error, size_t) { self->OnRead(error); });
  }

  void Close() {
    stream_.close();
    slot_ = {};
    shared_.connections.erase(shared_from_this());
  }

 private:
  void OnRead(beast::error_code error) {
    const bool malformed = error.category() == beast::error_code(http::error::bad_method).category();
    if (error == http::error::end_of_stream || error == http::error::partial_message || (error && !malformed)) {
      Close();
      return;
    }
    request_.emplace();
    if (error) {
      Respond({400, kPlainText, error.message() + "\n"});
      return;
    }
    const auto& request = parser_->get();
    request_->version = request.version();
    request_->keep_alive = request.keep_alive();
    request_->head = request.method() == http::verb::head;
    request_->if_none_match = request[http::field::if_none_match];
    if (request.method() != http::verb::get && request.method() != http::verb::head) {
      Respond({405, kPlainText, "only GET and HEAD\n"});
      return;
    }
    const std::string_view target(request.target().data(), request.target().size());
    // A connection that has ended meanwhile is not kept by those who owe it an answer.
    shared_.handler(target.substr(0, target.find('?')),
                    [worker = shared_.worker, weak = weak_from_this()](HttpResponse answer) {
                      asio::dispatch(worker->context(), [weak, answer = std::move(answer)]() mutable {
                        if (const auto self = weak.lock(); self != nullptr && self->request_)
                          self->Respond(std::move(answer));
                      });
                    });
  }

  void Respond(HttpResponse answer) {
    const Request request = *std::exchange(request_, std::nullopt);
    const std::string tag = fmt::format("\"{}\"", answer.etag);
    const bool unchanged =
        answer.status == 200 && !answer.etag.empty() && request.if_none_match.find(tag) != std::string::npos;
    body_ = answer.shared_body ? std::move(answer.shared_body)
                               : std::make_shared<const std::string>(std::move(answer.body));
    response_ = {};
    response_.version(request.version);
    response_.result(unchanged ? 304u : static_cast<unsigned>(answer.status));
    if (!answer.etag.empty()) response_.set(http::field::etag, tag);
    if (answer.retry_after.count() > 0) {
      response_.set(http::field::retry_after, std::to_string(answer.retry_after.count()));
    }
    if (answer.status == 405) response_.set(http::field::allow, "GET, HEAD");
    response_.keep_alive(request.keep_alive);
    size_t size = 0;
    if (!unchanged) {
      response_.set(http::field::content_type, answer.content_type);
      response_.content_length(body_->size());
      if (!request.head) size = body_->size();
    }
    response_.body() = {body_->data(), size};
    stream_.expires_after(shared_.options.timeout +
                          std::chrono::seconds(size / shared_.options.slowest_bytes_per_second));
    http::async_write(stream_, response_, [self = shared_from_this()](beast::error_code error, size_t) {
      self->body_.reset();
      if (error || self->response_.need_eof()) {
        self->Close();
      } else {
        self->Read();
      }
    });
  }

  beast::tcp_stream stream_;
  ConnectionLimits::Slot slot_;
  HttpShared& shared_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::empty_body>> parser_;
  std::optional<Request> request_;  // the one whose answer is owed
  std::shared_ptr<const std::string> body_;
  http::response<http::span_body<const char>> response_;
};

}  // namespace

class HttpServer::Impl {
 public:
  Impl(const HttpServerOptions& options, DeferredHandler handler, UniqueFd listener)
      : limits_(options.max_connections_per_address, options.max_connections, {}),
        shared_{.options = options, .handler = std::move(handler)},
        port_(LocalPort(listener.get())),
        acceptor_(shared_.worker->context()),
        pause_(shared_.worker->context()) {
    const bool is_v6 = options.address.find(':') != std::string::npos;
    acceptor_.assign(is_v6 ? asio::ip::tcp::v6() : asio::ip::tcp::v4(), listener.get());
    listener.Release();  // The acceptor owns it now.
    // Accepted sockets inherit it.
    acceptor_.set_option(asio::socket_base::send_buffer_size(kSendBufferSize));
  }

  absl::Status Start() {
    Accept();
    return shared_.worker->Start();
  }

  void Stop() {
    shared_.worker->Join();
    // The thread has ended: what it owned is this thread's to close.
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    while (!shared_.connections.empty()) (*shared_.connections.begin())->Close();
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
      Admit(std::move(socket));
      Accept();
    });
  }

  void Admit(asio::ip::tcp::socket socket) {
    beast::error_code error;
    const asio::ip::tcp::endpoint peer = socket.remote_endpoint(error);
    if (error) return;  // It has gone already.
    sockaddr_storage address{};
    std::memcpy(&address, peer.data(), peer.size());
    ConnectionLimits::Slot slot;
    if (limits_.Admit(IpAddress::FromSockaddr(address), slot) != ConnectionLimits::Verdict::kAdmitted) return;
    const auto connection = std::make_shared<HttpConnection>(std::move(socket), std::move(slot), shared_);
    shared_.connections.insert(connection);
    connection->Read();
  }

  ConnectionLimits limits_;  // outlives the connections, which give their slots back
  HttpShared shared_;
  const uint16_t port_;
  asio::ip::tcp::acceptor acceptor_;
  asio::steady_timer pause_;
};

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const HttpServerOptions& options, Handler handler) {
  return StartDeferred(
      options, [handler = std::move(handler)](std::string_view path, const Answer& answer) { answer(handler(path)); });
}

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::StartDeferred(const HttpServerOptions& options,
                                                                      DeferredHandler handler) {
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
