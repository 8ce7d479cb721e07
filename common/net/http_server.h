// A small HTTP/1.1 server (RFC 9112) for metrics, health and downloads: GET and HEAD only.
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
  // Sent instead of `body`, unless null, without a copy: thousands of clients share it.
  std::shared_ptr<const std::string> shared_body;
  // An entity tag without its quotes (RFC 9110, 8.8.3), unless empty: who has it already (If-None-Match) gets 304.
  std::string etag;
  std::chrono::seconds retry_after{0};  // Field Retry-After, unless 0.
};

struct HttpServerOptions {
  std::string address = "127.0.0.1";
  uint16_t port = 0;                          // 0: a free port, see HttpServer::port().
  uint32_t max_connections = 64;              // One more is closed at once.
  uint32_t max_connections_per_address = 64;  // The addresses of an IPv6 /64 network count as one.
  size_t max_header_size = 8192;              // Bytes of request line and fields; a request body is refused.
  // For one request, for an idle connection, and for one response, which has a second more for each
  // `slowest_bytes_per_second` of its body.
  std::chrono::milliseconds timeout = std::chrono::seconds(10);
  size_t slowest_bytes_per_second = 32 * 1024;
};

// Runs on one thread of its own, which never waits for a client; connections are kept alive.
class HttpServer {
 public:
  // Takes the path without the query ("/health/live"). Called on the server's thread, one call at a time.
  using Handler = std::function<HttpResponse(std::string_view path)>;

  // For responses that take time: `answer` is called once, now or later, from any thread, also after Stop() or the
  // server's end, when it does nothing. Until then the client waits without a deadline.
  using Answer = std::function<void(HttpResponse response)>;
  using DeferredHandler = std::function<void(std::string_view path, Answer answer)>;

  // Listens when it returns OK. FailedPrecondition names address and port when they are taken.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const HttpServerOptions& options, Handler handler);
  static absl::StatusOr<std::unique_ptr<HttpServer>> StartDeferred(const HttpServerOptions& options,
                                                                   DeferredHandler handler);

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
