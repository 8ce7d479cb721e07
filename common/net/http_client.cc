#include "common/net/http_client.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/string_body.hpp>

#include "common/net/ip_address.h"
#include "common/status/status.h"

namespace trustline {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

constexpr uint64_t kMaximumBody = 16 << 20;

absl::Status FromError(const beast::error_code& error, std::string_view endpoint) {
  if (!error) return absl::OkStatus();
  if (error == beast::error::timeout) return DeadlineExceeded("{} did not answer in time", endpoint);
  return Unavailable("{}: {}", endpoint, error.message());
}

}  // namespace

absl::StatusOr<HttpResponse> HttpGet(const std::string& address, uint16_t port, std::string_view path,
                                     std::chrono::milliseconds timeout) {
  const std::string endpoint = fmt::format("http://{}{}", EndpointText(address, port), path);
  beast::error_code error;
  const auto ip = asio::ip::make_address(address, error);
  if (error) return InvalidArgument("\"{}\" is not an IPv4 or IPv6 address", address);

  try {
    asio::io_context context{1};
    beast::tcp_stream stream(context);
    stream.expires_after(timeout);  // Once, so that it is the deadline of all that follows.
    const auto finish = [&context, &endpoint, &error] {
      context.run();
      context.restart();
      return FromError(error, endpoint);
    };

    stream.async_connect(asio::ip::tcp::endpoint(ip, port), [&error](beast::error_code result) { error = result; });
    RETURN_IF_ERROR(finish());

    http::request<http::empty_body> request(http::verb::get, {path.data(), path.size()}, 11);
    request.set(http::field::host, EndpointText(address, port));
    request.keep_alive(false);
    http::async_write(stream, request, [&error](beast::error_code result, size_t) { error = result; });
    RETURN_IF_ERROR(finish());

    beast::flat_buffer buffer;
    http::response_parser<http::string_body> parser;
    parser.body_limit(kMaximumBody);
    http::async_read(stream, buffer, parser, [&error](beast::error_code result, size_t) { error = result; });
    RETURN_IF_ERROR(finish());

    auto& response = parser.get();
    HttpResponse result;
    result.status = static_cast<int>(response.result_int());
    result.content_type = std::string(response[http::field::content_type]);
    result.body = std::move(response.body());
    return result;
  } catch (const boost::system::system_error& thrown) {
    return Unavailable("{}: {}", endpoint, thrown.what());
  }
}

}  // namespace trustline
