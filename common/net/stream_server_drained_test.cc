// Sessions that wait until all has been delivered that had arrived, over TLS and over plain TCP.
#include <openssl/ssl.h>

#include <algorithm>
#include <future>

#include "common/net/listener_test_support.h"
#include "common/net/stream_server.h"
#include "common/x509/openssl_ptr.h"

namespace trustline {
namespace {

using testing::HasSubstr;
using Kind = ConnectionEvent::Kind;

// Messages are lines. Each time that everything was delivered, says how many lines came since the last time; "q" in one
// of them asks for the end, "w" lets the answer wait for outside work, "h" lets the reading pause until it is done.
class CountingSession final : public PhoneSession {
 public:
  using Work = std::function<void(std::function<void()> done)>;
  explicit CountingSession(Work work) : work_(std::move(work)) {}

  SessionActions OnBytes(ByteView bytes) override {
    lines_ += std::ranges::count(bytes, uint8_t{'\n'});
    Note(bytes, 'q', ends_);
    Note(bytes, 'w', waits_);
    bool holds = false;
    Note(bytes, 'h', holds);
    if (holds) return {.wait_for = work_};
    return {};
  }
  SessionActions OnDrained() override {
    if (std::exchange(waits_, false)) return {.wait_for = work_};
    return Answer();
  }
  SessionActions OnWaitDone() override { return {}; }

 private:
  static void Note(ByteView bytes, char letter, bool& found) {
    found = found || std::ranges::count(bytes, static_cast<uint8_t>(letter)) > 0;
  }
  SessionActions Answer() {
    return {.send = lines_ == 0 ? "" : fmt::format("{}\n", std::exchange(lines_, 0)), .close = ends_};
  }

  const Work work_;
  int64_t lines_ = 0;
  bool ends_ = false;
  bool waits_ = false;
};

// A client whose own direction can end by itself.
class Client {
 public:
  Client(uint16_t port, bool over_tls) : socket_(RawClient::Connect(port)) {
    if (!over_tls) return;
    context_.reset(SSL_CTX_new(TLS_client_method()));
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_fd(ssl_.get(), socket_.fd());
    EXPECT_EQ(SSL_connect(ssl_.get()), 1);
  }

  void Send(std::string_view bytes) {
    if (ssl_ == nullptr) {
      socket_.Send(bytes);
    } else {
      EXPECT_EQ(SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size())), static_cast<int>(bytes.size()));
    }
  }
  void EndOutput() {
    if (ssl_ == nullptr) {
      socket_.EndOutput();
    } else {
      EXPECT_EQ(SSL_shutdown(ssl_.get()), 0);
    }
  }
  std::string ReadLine() {
    std::string line;
    char byte = 0;
    while (Read(byte)) {
      if (byte == '\n') return line;
      line += byte;
    }
    return line + " and the end";
  }
  std::string ReadToTheEnd() {
    std::string all;
    char byte = 0;
    while (Read(byte)) all += byte;
    return all;
  }

 private:
  bool Read(char& byte) {
    if (ssl_ != nullptr) return SSL_read(ssl_.get(), &byte, 1) == 1;
    const std::string one = socket_.ReadExactly(1);
    if (!one.empty()) byte = one.front();
    return !one.empty();
  }

  RawClient socket_;
  SslCtxPtr context_;
  SslPtr ssl_;
};

class StreamServerDrainedTest : public ListenerTest, public testing::WithParamInterface<bool> {
 protected:
  void SetUp() override {
    StartWorkers(1);
    StartServerWith({.tls = over_tls() ? MakeTestTlsContext() : nullptr}, [this](const Peer&) {
      return std::make_unique<CountingSession>(
          [this](std::function<void()> done) { started_.set_value(std::move(done)); });
    });
  }
  void TearDown() override { StopServer(); }

  static bool over_tls() { return GetParam(); }
  Client Connect() { return {port(), over_tls()}; }
  std::function<void()> AwaitWork() {
    auto done = started_.get_future().get();
    started_ = {};
    return done;
  }

  std::promise<std::function<void()>> started_;
};

INSTANTIATE_TEST_SUITE_P(Transports, StreamServerDrainedTest, testing::Bool(),
                         [](const auto& instance) { return instance.param ? "Tls" : "Plain"; });

TEST_P(StreamServerDrainedTest, ManyMessagesOfOneWriteAreAnsweredOnce) {
  Client client = Connect();
  client.Send("a\nb\nc\n");
  EXPECT_EQ(client.ReadLine(), "3");
  client.Send("d\n");
  EXPECT_EQ(client.ReadLine(), "1");
}

TEST_P(StreamServerDrainedTest, ManyReadsAreAnsweredOnce) {
  Client client = Connect();
  client.Send("h\n");
  const auto done = AwaitWork();
  std::string lines;
  for (int i = 0; i < 10'000; ++i) lines += "...\n";  // more than two reads, and less than the socket holds
  client.Send(lines);
  done();
  EXPECT_EQ(client.ReadLine(), "10001");
}

TEST_P(StreamServerDrainedTest, MoreThanATurnOfReadsLosesNothing) {
  Client client = Connect();
  std::string lines;
  for (int i = 0; i < 200'000; ++i) lines += ".\n";
  client.Send(lines);
  for (int64_t counted = 0; counted < 200'000;) {
    const std::string line = client.ReadLine();
    ASSERT_THAT(line, testing::Not(HasSubstr("end")));
    counted += std::stoll(line);
  }
}

TEST_P(StreamServerDrainedTest, TheEndMayBeAskedFor) {
  Client client = Connect();
  client.Send("a\nq\n");
  EXPECT_EQ(client.ReadToTheEnd(), "2\n");
}

TEST_P(StreamServerDrainedTest, WhoEndsItsOwnDirectionGetsItsAnswer) {
  Client client = Connect();
  client.Send("h\n");
  const auto done = AwaitWork();
  client.Send("a\nb\n");
  client.EndOutput();  // is there before the rest is read
  done();
  EXPECT_EQ(client.ReadToTheEnd(), "3\n");
  EXPECT_EQ(statistics().closed_mid_message, 0);
}

TEST_P(StreamServerDrainedTest, WhoEndsItsOwnDirectionGetsWhatOutsideWorkDelays) {
  StopServer();
  // The answer comes with the end of the work, as that of a session that has asked somebody else.
  class AskingSession final : public PhoneSession {
   public:
    explicit AskingSession(CountingSession::Work work) : work_(std::move(work)) {}
    SessionActions OnBytes(ByteView) override { return {}; }
    SessionActions OnDrained() override { return {.wait_for = work_}; }
    SessionActions OnWaitDone() override { return {.send = "stored\n"}; }

   private:
    const CountingSession::Work work_;
  };
  StartServerWith({.tls = over_tls() ? MakeTestTlsContext() : nullptr}, [this](const Peer&) {
    return std::make_unique<AskingSession>([this](std::function<void()> done) { started_.set_value(std::move(done)); });
  });
  Client client = Connect();
  client.Send("report\n");
  client.EndOutput();
  const auto done = AwaitWork();
  EXPECT_EQ(statistics().open_connections, 1);
  done();
  EXPECT_EQ(client.ReadToTheEnd(), "stored\n");
  EXPECT_EQ(statistics().closed_mid_message, 0);
}

TEST_P(StreamServerDrainedTest, WorkThatEndsWithoutAnAnswerLeavesTheEndReported) {
  Client client = Connect();
  client.Send("w\n");
  client.EndOutput();
  AwaitWork()();
  EXPECT_EQ(client.ReadToTheEnd(), "");
  EXPECT_THAT(events_.WaitFor(Kind::kClosedMidMessage).detail, HasSubstr("before its request was complete"));
}

}  // namespace
}  // namespace trustline
