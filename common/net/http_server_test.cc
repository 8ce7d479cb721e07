#include "common/net/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "common/net/http_client.h"
#include "common/net/listener_test_support.h"

namespace trustline {
namespace {

using std::chrono::milliseconds;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

class HttpServerTest : public testing::Test {
 protected:
  void StartServer(const HttpServerOptions& options = {}) {
    auto server = HttpServer::Start(options, [](std::string_view path) {
      if (path == "/health/live") return HttpResponse{200, "text/plain", "alive\n"};
      if (path == "/metrics") return HttpResponse{200, "text/plain", std::string(3'000'000, 'm')};
      return HttpResponse{404, "text/plain", fmt::format("no {}\n", path)};
    });
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  std::string Ask(std::string_view request) {
    RawClient client = RawClient::Connect(server_->port());
    client.Send(request);
    return client.ReadUntilClosed().value_or("still open");
  }

  absl::StatusOr<HttpResponse> Get(std::string_view path) {
    return HttpGet("127.0.0.1", server_->port(), path, std::chrono::seconds(10));
  }

  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, AnswersGet) {
  StartServer();
  const auto live = Get("/health/live?verbose=1");
  ASSERT_TRUE(live.ok()) << live.status();
  EXPECT_EQ(live->status, 200);
  EXPECT_EQ(live->content_type, "text/plain");
  EXPECT_EQ(live->body, "alive\n");
  EXPECT_EQ(Get("/metrics")->body.size(), 3'000'000u);
  EXPECT_EQ(Get("/nothing")->status, 404);
}

TEST_F(HttpServerTest, AnswersHeadWithoutABody) {
  StartServer();
  const std::string answer = Ask("HEAD /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(answer, HasSubstr("Content-Length: 6\r\n"));
  EXPECT_THAT(answer, EndsWith("\r\n\r\n"));
}

TEST_F(HttpServerTest, KeepsTheConnection) {
  StartServer();
  const std::string answers =
      Ask("GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
          "GET /other HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(answers, HasSubstr("alive\n"));
  EXPECT_THAT(answers, EndsWith("no /other\n"));
}

TEST_F(HttpServerTest, RefusesOtherMethodsAndMalformedRequests) {
  StartServer();
  EXPECT_THAT(Ask("DELETE / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), StartsWith("HTTP/1.1 405"));
  EXPECT_THAT(Ask("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(Ask("\x16\x03\x01\x02\r\n\r\n"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(Ask("GET / HTTP/1.1\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n"), StartsWith("HTTP/1.1 400"));
}

TEST_F(HttpServerTest, ClosesConnectionsThatStall) {
  StartServer({.timeout = milliseconds(1'500)});  // enough for the last request on a busy machine
  EXPECT_EQ(Ask(""), "");
  EXPECT_EQ(Ask("GET /health"), "");
  EXPECT_THAT(Ask("GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"), EndsWith("alive\n"));
}

TEST_F(HttpServerTest, BoundsItsConnections) {
  StartServer({.max_connections = 2});
  const RawClient first = RawClient::Connect(server_->port());
  const RawClient second = RawClient::Connect(server_->port());
  EXPECT_EQ(Ask(""), "");
}

TEST_F(HttpServerTest, StopsWithOpenConnections) {
  StartServer();
  RawClient idle = RawClient::Connect(server_->port());
  EXPECT_TRUE(Get("/health/live").ok());
  const uint16_t port = server_->port();
  server_->Stop();
  EXPECT_EQ(idle.ReadUntilClosed(), "");
  server_->Stop();
  EXPECT_TRUE(absl::IsUnavailable(HttpGet("127.0.0.1", port, "/", std::chrono::seconds(10)).status()));
}

TEST_F(HttpServerTest, ServesIpv6) {
  StartServer({.address = "::1"});
  EXPECT_EQ(HttpGet("::1", server_->port(), "/health/live", std::chrono::seconds(10))->body, "alive\n");
}

TEST_F(HttpServerTest, NamesATakenPort) {
  StartServer();
  const auto second = HttpServer::Start({.port = server_->port()}, nullptr);
  EXPECT_TRUE(absl::IsFailedPrecondition(second.status()));
}

TEST(HttpGetTest, GivesUpAtItsDeadline) {
  UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(listener.get(), 1), 0);
  socklen_t size = sizeof(address);
  getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size);
  EXPECT_TRUE(absl::IsDeadlineExceeded(HttpGet("127.0.0.1", ntohs(address.sin_port), "/", milliseconds(150)).status()));
}

}  // namespace
}  // namespace trustline
