// A small HTTP/1.1 server for metrics and health (RFC 9112): GET and HEAD only.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace trustline {

struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

struct HttpServerOptions {
  std::string address = "127.0.0.1";
  uint16_t port = 0;              // 0: a free port, see HttpServer::port().
  size_t max_connections = 64;    // One more is closed at once.
  size_t max_header_size = 8192;  // Bytes of request line and fields; a request body is refused.
  std::chrono::milliseconds timeout = std::chrono::seconds(10);  // For one request, and for an idle connection.
};

// Runs on one thread of its own; connections are kept alive.
class HttpServer {
 public:
  // Takes the path without the query ("/health/live"). Called on the server's thread, one call at a time.
  using Handler = std::function<HttpResponse(std::string_view path)>;

  // Listens when it returns OK. FailedPrecondition names address and port when they are taken.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const HttpServerOptions& options, Handler handler);

  ~HttpServer();

  uint16_t port() const;

  // Closes everything and joins the thread. Safe to call again; not from the handler.
  void Stop();

 private:
  class Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace trustline
