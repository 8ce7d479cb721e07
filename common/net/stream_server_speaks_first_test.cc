// Sessions in which the server has the first word, and whose peers may take their time.
#include <future>

#include "common/net/listener_test_support.h"
#include "common/net/stream_server.h"
#include "common/net/tls_client.h"

namespace trustline {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using Kind = ConnectionEvent::Kind;

// For what must happen before it passes, also on a busy machine and under a sanitizer.
constexpr milliseconds kAmple{3'000};
constexpr milliseconds kLong{30'000};

constexpr std::string_view kGreeting = "who are you?";
constexpr std::string_view kAnswer = "go on";

// Sends what it was made with, then does what each byte from the peer says.
class GreetingSession final : public PhoneSession {
 public:
  GreetingSession(SessionActions greeting, std::promise<void>* heard, std::promise<void>* ended)
      : greeting_(std::move(greeting)), heard_(heard), ended_(ended) {}
  ~GreetingSession() override {
    if (ended_ != nullptr) ended_->set_value();
  }

  SessionActions OnConnected() override { return std::move(greeting_); }
  SessionActions OnWaitDone() override { return {.send = std::string(kGreeting)}; }

  SessionActions OnBytes(ByteView bytes) override {
    SessionActions actions;
    switch (bytes[0]) {
      case 'a':
        actions.send = kAnswer;
        return actions;
      case 'p':
        actions.patient = true;
        break;
      case 'r':
        actions.renew_deadline = true;
        break;
      default:
        break;
    }
    if (heard_ != nullptr) std::exchange(heard_, nullptr)->set_value();
    return actions;
  }

 private:
  SessionActions greeting_;
  std::promise<void>* heard_;  // of the first byte that gets no answer
  std::promise<void>* const ended_;
};

class StreamServerSpeaksFirstTest : public ListenerTest {
 protected:
  // One worker, so that what a session has heard is done before the next connection's handshake. `heard` and `ended`
  // are those of the first session.
  void Start(StreamServerOptions options, const SessionActions& greeting = {.send = std::string(kGreeting)}) {
    StartWorkers(1);
    options.name = "test";
    options.address = "127.0.0.1";
    options.tls = MakeTestTlsContext();
    options.handshake_deadline = kLong;
    options.on_event = [this](const ConnectionEvent& event) { events_.Add(event); };
    auto server = StreamServer::Start(*workers_, std::move(options), [this, greeting](const Peer&) {
      const bool is_first = std::exchange(is_first_, false);
      return std::make_unique<GreetingSession>(greeting, is_first ? &heard_ : nullptr, is_first ? &ended_ : nullptr);
    });
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  void TearDown() override { StopServer(); }

  TlsClient Connect(TlsClientOptions options = {}) {
    if (options.timeout < kLong) options.timeout = kLong;
    auto client = TlsClient::Connect("127.0.0.1", port(), options);
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }
  // As Connect, from an address that events show; returns when the greeting has come, so that its deadline runs.
  TlsClient ConnectFrom(const std::string& source) {
    TlsClient client = Connect({.source_address = source});
    EXPECT_EQ(client.ReadExactly(kGreeting.size()).value_or("error"), kGreeting);
    return client;
  }
  static void Say(TlsClient& client, char byte) { ASSERT_TRUE(client.Write(AsBytes(std::string_view(&byte, 1))).ok()); }
  static bool IsAnswered(TlsClient& client) {
    Say(client, 'a');
    return client.ReadExactly(kAnswer.size()).value_or("error") == kAnswer;
  }
  void AwaitHeard() { heard_.get_future().wait(); }

  bool is_first_ = true;  // of the one worker's thread
  std::promise<void> heard_;
  std::promise<void> ended_;
};

TEST_F(StreamServerSpeaksFirstTest, TheGreetingComesBeforeThePeerHasSaidAnything) {
  Start({});
  for (const TlsVersion version : {TlsVersion::kTls12, TlsVersion::kTls13}) {
    TlsClientOptions options{.min_version = version, .max_version = version};
    TlsClient client = Connect(options);
    EXPECT_EQ(client.ReadSome().value_or("error"), kGreeting);
    EXPECT_TRUE(IsAnswered(client));
    options.session = client.Session();
    client.Close();
    TlsClient again = Connect(options);
    EXPECT_TRUE(again.resumed());
    EXPECT_EQ(again.ReadSome().value_or("error"), kGreeting);
    EXPECT_TRUE(IsAnswered(again));
  }
}

TEST_F(StreamServerSpeaksFirstTest, AGreetingLargerThanTheSocketBuffersReachesASlowReaderWhoIsHeardAfterwards) {
  const std::string greeting(8'000'000, 'g');
  Start({.exchange_deadline = kLong}, {.send = greeting});
  TlsClient client = Connect();
  Say(client, 'a');
  std::string all;
  while (all.size() < greeting.size() + kAnswer.size()) {
    const auto more = client.ReadSome();
    ASSERT_TRUE(more.ok()) << more.status();
    ASSERT_FALSE(more->empty());
    all += *more;
  }
  EXPECT_TRUE(all == greeting + std::string(kAnswer));
}

TEST_F(StreamServerSpeaksFirstTest, TheGreetingMayBeTheLastWord) {
  Start({}, {.send = std::string(kGreeting), .close = true});
  TlsClient client = Connect();
  EXPECT_EQ(client.ReadSome().value_or("error"), kGreeting);
  EXPECT_EQ(client.ReadSome().value_or("error"), "");
}

TEST_F(StreamServerSpeaksFirstTest, TheGreetingMayWaitForOutsideWork) {
  std::promise<std::function<void()>> started;
  Start({}, {.wait_for = [&started](std::function<void()> done) { started.set_value(std::move(done)); }});
  TlsClient client = Connect();
  started.get_future().get()();
  EXPECT_EQ(client.ReadSome().value_or("error"), kGreeting);
  EXPECT_TRUE(IsAnswered(client));
}

TEST_F(StreamServerSpeaksFirstTest, SilenceAfterTheGreetingMeetsTheExchangeDeadline) {
  Start({.exchange_deadline = milliseconds(150)});
  TlsClient client = Connect();
  EXPECT_EQ(client.ReadExactly(kGreeting.size()).value_or("error"), kGreeting);
  EXPECT_EQ(client.ReadSome().value_or("error"), "");
  EXPECT_EQ(events_.WaitFor(Kind::kExchangeDeadline).detail, "the peer sent no request");
}

// Deadlines of one kind pass in the order in which they began: whose passes first tells whose was renewed.
TEST_F(StreamServerSpeaksFirstTest, RenewalWithoutAnAnswerRenewsTheDeadline) {
  Start({.exchange_deadline = kAmple});
  TlsClient early = ConnectFrom("127.0.0.2");
  TlsClient late = ConnectFrom("127.0.0.3");
  Say(early, 'r');
  AwaitHeard();
  EXPECT_EQ(events_.WaitFor(Kind::kExchangeDeadline).peer_address, "127.0.0.3");
  EXPECT_EQ(early.ReadSome().value_or("error"), "");
}

TEST_F(StreamServerSpeaksFirstTest, WithoutARenewalBytesDoNotHelp) {
  Start({.exchange_deadline = kAmple});
  TlsClient early = ConnectFrom("127.0.0.2");
  TlsClient late = ConnectFrom("127.0.0.3");
  Say(early, 'n');
  AwaitHeard();
  const EventLog::Entry event = events_.WaitFor(Kind::kExchangeDeadline);
  EXPECT_EQ(event.peer_address, "127.0.0.2");
  EXPECT_EQ(event.detail, "the peer did not finish its request");
  EXPECT_EQ(early.ReadSome().value_or("error"), "");
}

TEST_F(StreamServerSpeaksFirstTest, PatienceOutlivesTheExchangeDeadlineAndEndsAtItsOwn) {
  Start({.exchange_deadline = kAmple, .patient_deadline = kAmple + kAmple / 3});
  TlsClient patient = ConnectFrom("127.0.0.2");
  Say(patient, 'p');
  AwaitHeard();
  TlsClient other = ConnectFrom("127.0.0.3");  // whose exchange deadline would be the later one
  EXPECT_EQ(events_.WaitFor(Kind::kExchangeDeadline).peer_address, "127.0.0.3");
  const auto answered = steady_clock::now();
  EXPECT_TRUE(IsAnswered(patient));
  EXPECT_EQ(patient.ReadSome().value_or("error"), "");
  EXPECT_GE(steady_clock::now() - answered, kAmple + kAmple / 3);
  EXPECT_EQ(statistics().exchange_deadlines, 2);
}

TEST_F(StreamServerSpeaksFirstTest, PatienceBeginsWhenItIsAskedForAndNotBefore) {
  Start({.exchange_deadline = kLong, .patient_deadline = milliseconds(150)});
  TlsClient client = ConnectFrom("127.0.0.2");
  const auto asked = steady_clock::now();
  Say(client, 'p');
  EXPECT_EQ(client.ReadSome().value_or("error"), "");
  EXPECT_GE(steady_clock::now() - asked, milliseconds(150));
  EXPECT_LT(steady_clock::now() - asked, kLong);
}

TEST_F(StreamServerSpeaksFirstTest, ARenewalRenewsThePatientDeadlineAndAskingForPatienceAgainDoesNot) {
  Start({.exchange_deadline = kLong, .patient_deadline = kAmple}, {.patient = true, .send = std::string(kGreeting)});
  TlsClient first = ConnectFrom("127.0.0.2");
  TlsClient second = ConnectFrom("127.0.0.3");
  TlsClient third = ConnectFrom("127.0.0.4");
  Say(second, 'p');
  Say(first, 'r');
  AwaitHeard();
  EXPECT_EQ(events_.WaitFor(Kind::kExchangeDeadline).peer_address, "127.0.0.3");
}

TEST_F(StreamServerSpeaksFirstTest, LeavingAfterARenewalIsNoEndWithinAMessage) {
  Start({});
  TlsClient client = ConnectFrom("127.0.0.2");
  Say(client, 'r');
  AwaitHeard();
  client.Close();
  ended_.get_future().wait();
  EXPECT_EQ(statistics().closed_mid_message, 0);
}

}  // namespace
}  // namespace trustline
