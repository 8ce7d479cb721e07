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

TEST_F(HttpServerTest, BoundsTheConnectionsOfAnAddress) {
  StartServer({.max_connections_per_address = 1});
  const RawClient first = RawClient::Connect(server_->port());
  EXPECT_EQ(Ask(""), "");
  RawClient other = RawClient::Connect(server_->port(), "127.0.0.1", "127.0.0.2");
  other.Send("GET /health/live HTTP/1.0\r\n\r\n");
  EXPECT_THAT(other.ReadUntilClosed(), testing::Optional(EndsWith("alive\n")));
}

class DeferredHttpServerTest : public HttpServerTest {
 protected:
  // Answers "/download" with a shared body at once, and keeps the answers to all else.
  void StartDeferred(const HttpServerOptions& options = {}) {
    auto server = HttpServer::StartDeferred(options, [this](std::string_view path, const HttpServer::Answer& answer) {
      if (path == "/download") {
        answer({.shared_body = download_, .etag = "v1"});
        return;
      }
      const std::lock_guard lock(mutex_);
      owed_.push_back(answer);
      changed_.notify_all();
    });
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  HttpServer::Answer TakeOwed() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !owed_.empty(); });
    HttpServer::Answer answer = std::move(owed_.back());
    owed_.pop_back();
    return answer;
  }

  const std::shared_ptr<const std::string> download_ = std::make_shared<const std::string>(4'000'000, 'd');
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<HttpServer::Answer> owed_;
};

TEST_F(DeferredHttpServerTest, AnswersLaterFromAnotherThread) {
  StartDeferred();
  RawClient waiting = RawClient::Connect(server_->port());
  waiting.Send("GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const HttpServer::Answer answer = TakeOwed();
  // Who waits keeps nobody else waiting.
  EXPECT_EQ(Get("/download")->body, *download_);
  answer({.status = 503, .body = "later\n", .retry_after = std::chrono::seconds(7)});
  answer({.status = 200, .body = "an answer that nobody is owed\n"});
  const std::string text = waiting.ReadUntilClosed().value_or("still open");
  EXPECT_THAT(text, StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(text, HasSubstr("Retry-After: 7\r\n"));
  EXPECT_THAT(text, EndsWith("\r\n\r\nlater\n"));
}

TEST_F(DeferredHttpServerTest, AnAnswerAfterTheEndDoesNothing) {
  StartDeferred();
  RawClient waiting = RawClient::Connect(server_->port());
  waiting.Send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
  const HttpServer::Answer answer = TakeOwed();
  server_->Stop();
  EXPECT_EQ(waiting.ReadUntilClosed(), "");
  answer({.body = "late\n"});
  server_.reset();
  answer({.body = "later\n"});
}

TEST_F(DeferredHttpServerTest, WhoHasTheEntityGetsNoBody) {
  StartDeferred();
  const auto ask = [&](std::string_view fields) {
    return Ask(fmt::format("GET /download HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{}\r\n", fields));
  };
  const std::string unchanged = ask("If-None-Match: \"v0\", W/\"v1\"\r\n");
  EXPECT_THAT(unchanged, StartsWith("HTTP/1.1 304"));
  EXPECT_THAT(unchanged, HasSubstr("ETag: \"v1\"\r\n"));
  EXPECT_THAT(unchanged, EndsWith("\r\n\r\n"));
  for (const char* fields : {"", "If-None-Match: \"v0\"\r\n"}) {
    const std::string whole = ask(fields);
    EXPECT_THAT(whole, StartsWith("HTTP/1.1 200"));
    EXPECT_THAT(whole, HasSubstr("ETag: \"v1\"\r\n"));
    EXPECT_THAT(whole, EndsWith(*download_));
  }
}

TEST_F(DeferredHttpServerTest, ClientsThatDoNotReadStopNobody) {
  StartDeferred({.max_connections = 600, .max_connections_per_address = 600});
  std::vector<RawClient> stalled;
  for (int i = 0; i < 500; ++i) {
    RawClient client = RawClient::Connect(server_->port());
    client.Send("GET /download HTTP/1.1\r\nHost: x\r\n\r\n");
    stalled.push_back(std::move(client));
  }
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Get("/download")->body.size(), download_->size());
  // One body for all of them, and the server's own reference and ours.
  EXPECT_LE(download_.use_count(), 510);
}

TEST_F(DeferredHttpServerTest, ClientsThatDoNotReadAreClosed) {
  StartDeferred({.timeout = milliseconds(300), .slowest_bytes_per_second = 1 << 30});
  RawClient stalled = RawClient::Connect(server_->port());
  const int small = 4'096;
  ASSERT_EQ(setsockopt(stalled.fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
  stalled.Send("GET /download HTTP/1.1\r\nHost: x\r\n\r\n");
  while (download_.use_count() < 2) std::this_thread::yield();
  while (download_.use_count() > 1) std::this_thread::yield();  // the server has given it up
  EXPECT_LT(stalled.ReadUntilClosed().value_or("").size(), download_->size());
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
