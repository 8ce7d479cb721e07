// Listeners without TLS.
#include <sys/socket.h>

#include <future>

#include "common/net/listener_test_support.h"
#include "common/net/stream_server.h"

namespace trustline {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using Kind = ConnectionEvent::Kind;

constexpr milliseconds kShort{150};
// For what must happen before it passes, also on a busy machine and under a sanitizer.
constexpr milliseconds kAmple{3'000};
constexpr milliseconds kLong{30'000};

class PlainStreamTest : public ListenerTest {
 protected:
  void TearDown() override {
    StopServer();
    EXPECT_EQ(live_sessions_, 0);
  }
  RawClient Connect(const std::string& source = "") { return RawClient::Connect(port(), "127.0.0.1", source); }
  bool IsServed(const std::string& source = "") {
    RawClient client = Connect(source);
    client.Send(Frame("x"));
    return client.ReadExactly(2) == Frame("x");
  }
};

TEST_F(PlainStreamTest, AnswersARequestAndCloses) {
  StartPlainServer({}, {.close_after_answer = true});
  RawClient client = Connect();
  client.Send(Frame("question"));
  EXPECT_EQ(client.ReadUntilClosed(), Frame("question"));
}

TEST_F(PlainStreamTest, CountsNoHandshake) {
  StartPlainServer();
  EXPECT_TRUE(IsServed());
  server_->Stop();
  EXPECT_EQ(statistics().accepted, 1);
  EXPECT_EQ(statistics().handshakes_full, 0);
  EXPECT_EQ(statistics().handshakes_resumed, 0);
  EXPECT_EQ(statistics().handshakes_failed, 0);
  EXPECT_EQ(statistics().bytes_in, 2);
  EXPECT_EQ(statistics().bytes_out, 2);
}

TEST_F(PlainStreamTest, TakesARequestOneByteAtATime) {
  StartPlainServer();
  RawClient client = Connect();
  const std::string frame = Frame(std::string(200, 'x'));
  for (const char byte : frame) client.Send(std::string_view(&byte, 1));
  EXPECT_EQ(client.ReadExactly(frame.size()), frame);
}

TEST_F(PlainStreamTest, TakesSeveralRequestsOnOneConnectionAndInOneWrite) {
  StartPlainServer();
  RawClient client = Connect();
  for (int i = 0; i < 20; ++i) {
    const std::string frame = Frame(std::to_string(i));
    client.Send(frame);
    EXPECT_EQ(client.ReadExactly(frame.size()), frame);
  }
  const std::string both = Frame("first") + Frame("second");
  client.Send(both);
  EXPECT_EQ(client.ReadExactly(both.size()), both);
}

TEST_F(PlainStreamTest, SendsAnAnswerLargerThanTheSocketBuffersToASlowReader) {
  constexpr size_t kRepeats = 1'000'000;
  StartPlainServer({.exchange_deadline = kLong}, {.answer_repeats = kRepeats});
  RawClient client = Connect();
  const std::string frame = Frame("0123456789abcdef");
  client.Send(frame);
  std::string expected;
  for (size_t i = 0; i < kRepeats; ++i) expected += frame;
  EXPECT_TRUE(client.ReadExactly(expected.size()) == expected);
  client.Send(Frame("x"));
  EXPECT_EQ(client.ReadExactly(4), Frame("x") + Frame("x"));
}

TEST_F(PlainStreamTest, WhoEndsItsOwnDirectionStillGetsItsAnswer) {
  StartPlainServer();
  RawClient client = Connect();
  client.Send(Frame("one") + Frame("two"));
  client.EndOutput();
  EXPECT_EQ(client.ReadUntilClosed(), Frame("one") + Frame("two"));
  EXPECT_EQ(statistics().closed_mid_message, 0);
}

TEST_F(PlainStreamTest, WhoEndsItsOwnDirectionGetsTheAnswerOfOutsideWork) {
  std::promise<std::function<void()>> started;
  StartPlainServer({},
                   {.outside_work = [&started](std::function<void()> done) { started.set_value(std::move(done)); }});
  RawClient client = Connect();
  client.Send(Frame("look up"));
  client.EndOutput();
  const auto done = started.get_future().get();
  EXPECT_EQ(statistics().open_connections, 1);
  done();
  EXPECT_EQ(client.ReadUntilClosed(), Frame("look up"));
  EXPECT_EQ(statistics().closed_mid_message, 0);
}

TEST_F(PlainStreamTest, AnEndWithinARequestIsReported) {
  StartPlainServer();
  RawClient client = Connect();
  client.Send(Frame("whole") + Frame("unfinished").substr(0, 5));
  client.EndOutput();
  EXPECT_EQ(client.ReadUntilClosed(), Frame("whole"));
  RawClient other = Connect();
  other.Send(Frame("unfinished").substr(0, 5));
  other.EndOutput();
  EXPECT_EQ(other.ReadUntilClosed(), "");
  EXPECT_THAT(events_.WaitFor(Kind::kClosedMidMessage).detail, HasSubstr("before its request was complete"));
}

TEST_F(PlainStreamTest, AResetWithinARequestIsReported) {
  std::promise<std::function<void()>> started;
  StartPlainServer({},
                   {.outside_work = [&started](std::function<void()> done) { started.set_value(std::move(done)); }});
  {
    RawClient client = Connect();
    client.Send(Frame("question"));
    const linger abort{1, 0};
    ASSERT_EQ(setsockopt(client.fd(), SOL_SOCKET, SO_LINGER, &abort, sizeof(abort)), 0);
    const auto done = started.get_future().get();
    client = RawClient();
    done();
  }
  EXPECT_THAT(events_.WaitFor(Kind::kClosedMidMessage).detail, HasSubstr("could not leave"));
}

TEST_F(PlainStreamTest, WhoConnectsAndLeavesIsNoEvent) {
  StartPlainServer();
  RawClient client = Connect();
  client.EndOutput();
  EXPECT_EQ(client.ReadUntilClosed(), "");
  server_->Stop();
  EXPECT_EQ(statistics().handshakes_failed, 0);
  EXPECT_EQ(statistics().closed_mid_message, 0);
}

TEST_F(PlainStreamTest, ASilentPeerHasNoSessionAndMeetsTheHandshakeDeadline) {
  StartWorkers(1);
  StartPlainServer({.handshake_deadline = kAmple, .exchange_deadline = kLong});
  RawClient silent = Connect();
  RawClient other = Connect();
  other.Send(Frame("x"));
  EXPECT_EQ(other.ReadExactly(2), Frame("x"));
  EXPECT_EQ(statistics().open_connections, 2);
  EXPECT_EQ(live_sessions_, 1);
  EXPECT_EQ(silent.ReadUntilClosed(), "");
  EXPECT_EQ(events_.WaitFor(Kind::kHandshakeDeadline).detail, "the peer sent nothing");
}

TEST_F(PlainStreamTest, AStallBetweenBytesMeetsTheExchangeDeadline) {
  StartPlainServer({.handshake_deadline = kLong, .exchange_deadline = kShort});
  RawClient client = Connect();
  client.Send(Frame("unfinished").substr(0, 5));
  EXPECT_EQ(client.ReadUntilClosed(), "");
  EXPECT_EQ(events_.WaitFor(Kind::kExchangeDeadline).detail, "the peer did not finish its request");
}

TEST_F(PlainStreamTest, SilenceAfterAnAnswerMeetsTheExchangeDeadline) {
  StartPlainServer({.handshake_deadline = kLong, .exchange_deadline = kAmple});
  RawClient client = Connect();
  client.Send(Frame("x"));
  EXPECT_EQ(client.ReadUntilClosed(), Frame("x"));
  EXPECT_EQ(events_.WaitFor(Kind::kExchangeDeadline).detail, "the peer sent no request");
}

TEST_F(PlainStreamTest, APeerThatDoesNotTakeTheAnswerMeetsTheExchangeDeadline) {
  StartPlainServer({.handshake_deadline = kLong, .exchange_deadline = kAmple}, {.answer_repeats = 1'000'000});
  RawClient client = Connect();
  client.Send(Frame("a long answer"));
  EXPECT_EQ(events_.WaitFor(Kind::kExchangeDeadline).detail, "the peer did not take the answer");
}

TEST_F(PlainStreamTest, AnswerArrivesThoughThePeerSentMoreThanWasRead) {
  std::promise<std::function<void()>> started;
  StartPlainServer({}, {.close_after_answer = true, .outside_work = [&started](std::function<void()> done) {
                          started.set_value(std::move(done));
                        }});
  RawClient client = Connect();
  client.Send(Frame("wanted"));
  const auto done = started.get_future().get();
  client.Send(std::string(50'000, 'x'));
  done();
  EXPECT_EQ(client.ReadUntilClosed(), Frame("wanted"));
}

TEST_F(PlainStreamTest, StopClosesConnectionsInEveryState) {
  StartPlainServer({}, {.answer_repeats = 1'000'000});
  RawClient silent = Connect();
  RawClient half = Connect();
  half.Send(Frame("unfinished").substr(0, 5));
  RawClient not_reading = Connect();
  not_reading.Send(Frame("a long answer"));
  EXPECT_EQ(not_reading.ReadExactly(14), Frame("a long answer"));
  server_->Stop();
  EXPECT_EQ(live_sessions_, 0);
  EXPECT_EQ(statistics().open_connections, 0);
  EXPECT_TRUE(silent.ReadUntilClosed().has_value());
  EXPECT_TRUE(half.ReadUntilClosed().has_value());
}

TEST_F(PlainStreamTest, WhoIsExemptIsAskedAnewAtEachAccept) {
  std::atomic<bool> is_forwarder = false;
  StartPlainServer(
      {.connections_per_address = 1,
       .is_exempt =
           [&is_forwarder](const IpAddress& address) { return is_forwarder && address.ToText() == "127.0.0.9"; },
       .handshake_deadline = kLong});
  const RawClient first = Connect("127.0.0.9");
  EXPECT_FALSE(IsServed("127.0.0.9"));
  is_forwarder = true;
  std::vector<RawClient> more;
  for (int i = 0; i < 3; ++i) more.push_back(Connect("127.0.0.9"));
  EXPECT_TRUE(IsServed("127.0.0.9"));
  is_forwarder = false;
  EXPECT_FALSE(IsServed("127.0.0.9"));
  const RawClient other = Connect("127.0.0.8");
  EXPECT_FALSE(IsServed("127.0.0.8"));
}

TEST_F(PlainStreamTest, ExemptAddressesCountInTheTotal) {
  StartPlainServer(
      {.connections_total = 2, .is_exempt = [](const IpAddress&) { return true; }, .handshake_deadline = kLong});
  const RawClient first = Connect();
  const RawClient second = Connect();
  EXPECT_FALSE(IsServed());
  EXPECT_EQ(statistics().refused_by_total_cap, 1);
}

}  // namespace
}  // namespace trustline
