// Peers that stall, flood, vanish or talk nonsense.
#include <sys/resource.h>
#include <sys/socket.h>

#include <thread>

#include "common/net/listener_test_support.h"
#include "common/net/stream_server.h"
#include "common/net/tls_client.h"

namespace trustline {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using Kind = ConnectionEvent::Kind;

// For peers that do nothing: how soon it passes does not matter.
constexpr milliseconds kShort{150};
// For peers that get somewhere before it passes, also on a busy machine and under a sanitizer.
constexpr milliseconds kAmple{3'000};
constexpr milliseconds kLong{30'000};

class StreamServerLimitsTest : public ListenerTest {
 protected:
  bool IsServed(const std::string& source = "") {
    TlsClientOptions options;
    options.source_address = source;
    auto client = TlsClient::Connect("127.0.0.1", port(), options);
    if (!client.ok()) return false;
    return client->Write(AsBytes(Frame("x"))).ok() && client->ReadExactly(2).ok();
  }
};

TEST_F(StreamServerLimitsTest, ASilentPeerMeetsTheHandshakeDeadline) {
  StartServer({.handshake_deadline = kShort, .exchange_deadline = kLong});
  RawClient client = RawClient::Connect(port());
  EXPECT_EQ(client.ReadUntilClosed(), "");
  EXPECT_EQ(events_.WaitFor(Kind::kHandshakeDeadline).detail, "the peer sent nothing");
  EXPECT_EQ(statistics().handshake_deadlines, 1);
}

TEST_F(StreamServerLimitsTest, AStallWithinTheHandshakeMeetsItsDeadline) {
  StartServer({.handshake_deadline = kAmple, .exchange_deadline = kLong});
  RawClient part = RawClient::Connect(port());
  part.Send(MakeClientHello().substr(0, 20));
  RawClient whole = RawClient::Connect(port());
  whole.Send(MakeClientHello());
  EXPECT_EQ(part.ReadUntilClosed(), "");
  EXPECT_GT(whole.ReadUntilClosed().value_or("").size(), 500u);
  EXPECT_EQ(events_.WaitFor(Kind::kHandshakeDeadline).detail, "the peer did not finish the handshake");
}

TEST_F(StreamServerLimitsTest, SilenceAfterTheHandshakeMeetsTheExchangeDeadline) {
  StartServer({.handshake_deadline = kLong, .exchange_deadline = kShort});
  auto client = TlsClient::Connect("127.0.0.1", port());
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_EQ(client->ReadSome().value_or("error"), "");
  EXPECT_EQ(events_.WaitFor(Kind::kExchangeDeadline).detail, "the peer sent no request");
  StopServer();
  EXPECT_EQ(live_sessions_, 0);
}

TEST_F(StreamServerLimitsTest, AStallBetweenBytesMeetsTheExchangeDeadline) {
  StartServer({.handshake_deadline = kLong, .exchange_deadline = kAmple});
  auto client = TlsClient::Connect("127.0.0.1", port());
  ASSERT_TRUE(client.ok()) << client.status();
  ASSERT_TRUE(client->Write(AsBytes(Frame("unfinished").substr(0, 5))).ok());
  EXPECT_EQ(client->ReadSome().value_or("error"), "");
  EXPECT_EQ(events_.WaitFor(Kind::kExchangeDeadline).detail, "the peer did not finish its request");
}

TEST_F(StreamServerLimitsTest, APeerThatDoesNotTakeTheAnswerMeetsTheExchangeDeadline) {
  StartServer({.handshake_deadline = kLong, .exchange_deadline = kAmple}, {.answer_repeats = 1'000'000});
  auto client = TlsClient::Connect("127.0.0.1", port());
  ASSERT_TRUE(client.ok()) << client.status();
  ASSERT_TRUE(client->Write(AsBytes(Frame("a long answer"))).ok());
  EXPECT_EQ(events_.WaitFor(Kind::kExchangeDeadline).detail, "the peer did not take the answer");
}

TEST_F(StreamServerLimitsTest, OutsideWorkThatNeverEndsMeetsTheExchangeDeadline) {
  StartServer({.handshake_deadline = kLong, .exchange_deadline = kAmple},
              {.outside_work = [](const std::function<void()>&) {}});
  auto client = TlsClient::Connect("127.0.0.1", port());
  ASSERT_TRUE(client.ok()) << client.status();
  ASSERT_TRUE(client->Write(AsBytes(Frame("x"))).ok());
  EXPECT_EQ(events_.WaitFor(Kind::kExchangeDeadline).detail, "the answer was not ready in time");
}

TEST_F(StreamServerLimitsTest, EachAnswerRenewsTheExchangeDeadline) {
  StartServer({.handshake_deadline = kLong, .exchange_deadline = kAmple});
  auto client = TlsClient::Connect("127.0.0.1", port(), {.timeout = kAmple / 3});
  ASSERT_TRUE(client.ok()) << client.status();
  // More than the deadline, paced by the client's own on a silent connection.
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(client->Write(AsBytes(Frame("x"))).ok());
    ASSERT_TRUE(client->ReadExactly(2).ok());
    ASSERT_TRUE(absl::IsDeadlineExceeded(client->ReadSome().status()));
  }
  EXPECT_EQ(statistics().exchange_deadlines, 0);
}

TEST_F(StreamServerLimitsTest, StalledPeersDoNotDelayOthers) {
  StartWorkers(1);
  StartServer({.handshake_deadline = kLong});
  std::vector<RawClient> stalled;
  for (int i = 0; i < 200; ++i) {
    stalled.push_back(RawClient::Connect(port()));
    if (i % 2 == 0) stalled.back().Send(MakeClientHello().substr(0, 100));
  }
  EXPECT_TRUE(IsServed());
}

TEST_F(StreamServerLimitsTest, OneAddressCannotTakeAllConnections) {
  StartServer({.connections_per_address = 3, .handshake_deadline = kLong});
  std::vector<RawClient> silent;
  for (int i = 0; i < 3; ++i) silent.push_back(RawClient::Connect(port()));
  EXPECT_FALSE(IsServed());
  EXPECT_EQ(events_.WaitFor(Kind::kRefusedByAddressCap).peer_address, "127.0.0.1");
  EXPECT_TRUE(IsServed("127.0.0.2"));
  EXPECT_EQ(statistics().refused_by_address_cap, 1);
}

TEST_F(StreamServerLimitsTest, AClosedConnectionMakesRoom) {
  StartServer({.connections_per_address = 1, .handshake_deadline = kAmple});
  {
    RawClient silent = RawClient::Connect(port());
    EXPECT_EQ(silent.ReadUntilClosed(), "");
  }
  // The peer may see the end a moment before the server has counted it.
  const auto limit = std::chrono::steady_clock::now() + kLong;
  bool served = false;
  while (!(served = IsServed()) && std::chrono::steady_clock::now() < limit) std::this_thread::yield();
  EXPECT_TRUE(served);
}

TEST_F(StreamServerLimitsTest, TheTotalIsLimitedForAllAddresses) {
  StartServer({.connections_total = 2, .exempt_networks = {"127.0.0.0/8"}, .handshake_deadline = kLong});
  const RawClient first = RawClient::Connect(port(), "127.0.0.1", "127.0.0.2");
  const RawClient second = RawClient::Connect(port(), "127.0.0.1", "127.0.0.3");
  EXPECT_FALSE(IsServed("127.0.0.4"));
  EXPECT_EQ(events_.WaitFor(Kind::kRefusedByTotalCap).peer_address, "127.0.0.4");
  EXPECT_EQ(statistics().refused_by_total_cap, 1);
}

TEST_F(StreamServerLimitsTest, ExemptNetworksHaveNoCapOfTheirOwn) {
  StartServer({.connections_per_address = 1, .exempt_networks = {"127.0.0.8/29", "::1"}, .handshake_deadline = kLong});
  std::vector<RawClient> silent;
  for (int i = 0; i < 5; ++i) silent.push_back(RawClient::Connect(port(), "127.0.0.1", "127.0.0.9"));
  EXPECT_TRUE(IsServed("127.0.0.9"));
  silent.push_back(RawClient::Connect(port(), "127.0.0.1", "127.0.0.16"));
  EXPECT_FALSE(IsServed("127.0.0.16"));
}

TEST_F(StreamServerLimitsTest, SaysWhyAHandshakeFailed) {
  StartServer();
  RawClient http = RawClient::Connect(port());
  http.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(http.ReadUntilClosed().has_value());
  EXPECT_THAT(events_.WaitFor(Kind::kHandshakeFailed).detail, HasSubstr("HTTP without TLS"));
  EXPECT_EQ(statistics().handshakes_failed, 1);
}

TEST_F(StreamServerLimitsTest, GarbageIsRefusedInWords) {
  StartServer();
  RawClient client = RawClient::Connect(port());
  client.Send(std::string(300'000, '\x57'));
  EXPECT_TRUE(client.ReadUntilClosed().has_value());
  EXPECT_THAT(events_.WaitFor(Kind::kHandshakeFailed).detail, HasSubstr("not a TLS handshake"));
}

TEST_F(StreamServerLimitsTest, APeerThatLeavesWithinTheHandshakeIsAFailedHandshake) {
  StartServer();
  {
    RawClient client = RawClient::Connect(port());
    client.Send(MakeClientHello().substr(0, 60));
  }
  EXPECT_THAT(events_.WaitFor(Kind::kHandshakeFailed).detail, HasSubstr("closed the connection"));
}

TEST_F(StreamServerLimitsTest, EveryTruncationOfAClientHelloIsSurvived) {
  StartServer();
  const std::string hello = MakeClientHello();
  for (size_t size = 0; size < hello.size(); size += 7) {
    RawClient client = RawClient::Connect(port());
    client.Send(hello.substr(0, size));
    shutdown(client.fd(), SHUT_WR);
    EXPECT_TRUE(client.ReadUntilClosed().has_value()) << size;
  }
  EXPECT_TRUE(IsServed());
}

TEST_F(StreamServerLimitsTest, AResetWithinARequestIsReported) {
  StartServer();
  auto client = TlsClient::Connect("127.0.0.1", port());
  ASSERT_TRUE(client.ok()) << client.status();
  ASSERT_TRUE(client->Write(AsBytes(Frame("x"))).ok());
  ASSERT_TRUE(client->ReadExactly(2).ok());
  ASSERT_TRUE(client->Write(AsBytes(Frame("unfinished").substr(0, 5))).ok());
  client->Reset();
  EXPECT_THAT(events_.WaitFor(Kind::kClosedMidMessage).detail, HasSubstr("reset by peer"));
  StopServer();
  EXPECT_EQ(live_sessions_, 0);
}

TEST_F(StreamServerLimitsTest, AnEndWithinARequestIsReported) {
  StartServer();
  auto client = TlsClient::Connect("127.0.0.1", port());
  ASSERT_TRUE(client.ok()) << client.status();
  ASSERT_TRUE(client->Write(AsBytes(Frame("unfinished").substr(0, 5))).ok());
  client->Close();
  EXPECT_THAT(events_.WaitFor(Kind::kClosedMidMessage).detail, HasSubstr("before its request was complete"));
  EXPECT_EQ(statistics().closed_mid_message, 1);
}

TEST_F(StreamServerLimitsTest, RestsWhenDescriptorsRunOutAndGoesOnAfterwards) {
  StartServer({.handshake_deadline = kLong});
  std::vector<RawClient> clients;
  for (int i = 0; i < 10; ++i) clients.push_back(RawClient::Connect(port()));
  EXPECT_TRUE(IsServed());
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  // The lowest free descriptor is what accept would get: with the limit there, it gets none.
  UniqueFd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const UniqueFd lowest_free(dup(client.get()));
  rlimit low = before;
  low.rlim_cur = static_cast<rlim_t>(lowest_free.get()) + 1;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port());
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_THAT(events_.WaitFor(Kind::kAcceptPaused).detail, HasSubstr("limit of open files"));
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(IsServed());
  // It rested: a loop without rest would have failed thousands of times.
  EXPECT_LT(statistics().accept_pauses, 100u);
}

}  // namespace
}  // namespace trustline
