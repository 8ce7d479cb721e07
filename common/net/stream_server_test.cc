#include "common/net/stream_server.h"

#include <sys/socket.h>

#include <algorithm>
#include <future>

#include "absl/time/clock.h"
#include "common/net/listener_test_support.h"
#include "common/net/tls_client.h"
#include "common/x509/certificate_builder.h"
#include "common/x509/private_key.h"

namespace trustline {
namespace {

using testing::HasSubstr;
using Kind = ConnectionEvent::Kind;

class StreamServerTest : public ListenerTest {
 protected:
  TlsClient Connect(const TlsClientOptions& options = {}, const std::string& host = "127.0.0.1") {
    auto client = TlsClient::Connect(host, port(), options);
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }
};

// Says how many bytes of the message before still stand in the memory that it was read from.
class LookingBackSession final : public PhoneSession {
 public:
  SessionActions OnBytes(ByteView bytes) override {
    const auto left = std::ranges::count(before_.subspan(std::min(bytes.size(), before_.size())), uint8_t{'x'});
    before_ = bytes;
    return {.send = std::to_string(left) + "\n"};
  }
  SessionActions OnWaitDone() override { return {}; }

 private:
  ByteView before_;  // in the worker's buffer, which outlives it
};

void ExpectEcho(TlsClient& client, std::string_view text) {
  const std::string frame = Frame(text);
  ASSERT_TRUE(client.Write(AsBytes(frame)).ok());
  const auto answer = client.ReadExactly(frame.size());
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(*answer, frame);
}

TEST_F(StreamServerTest, AnswersARequestAndClosesWithCloseNotify) {
  StartServer({}, {.close_after_answer = true});
  TlsClient client = Connect();
  ExpectEcho(client, "question");
  const auto end = client.ReadSome();
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(*end, "");
  StopServer();
  EXPECT_EQ(live_sessions_, 0);
}

TEST_F(StreamServerTest, CountsWhatHappens) {
  StartServer();
  TlsClient client = Connect();
  ExpectEcho(client, "four");
  EXPECT_EQ(statistics().open_connections, 1);
  server_->Stop();  // The answer may arrive before it is counted.
  EXPECT_EQ(statistics().accepted, 1);
  EXPECT_EQ(statistics().handshakes_full, 1);
  EXPECT_EQ(statistics().handshakes_resumed, 0);
  EXPECT_EQ(statistics().handshakes_failed, 0);
  EXPECT_EQ(statistics().bytes_in, 5);
  EXPECT_EQ(statistics().bytes_out, 5);
  EXPECT_EQ(statistics().open_connections, 0);
}

TEST_F(StreamServerTest, KeepsNothingOfWhatPeersSent) {
  StartWorkers(1);
  StreamServerOptions options;
  options.name = "test";
  options.address = "127.0.0.1";
  options.tls = MakeTestTlsContext();
  auto server = StreamServer::Start(*workers_, std::move(options),
                                    [](const Peer&) { return std::make_unique<LookingBackSession>(); });
  ASSERT_TRUE(server.ok()) << server.status();
  server_ = *std::move(server);
  TlsClient client = Connect();
  for (const std::string& message : {std::string(100, 'x'), std::string("?")}) {
    ASSERT_TRUE(client.Write(AsBytes(message)).ok());
    const auto answer = client.ReadExactly(2);
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(*answer, "0\n");
  }
}

TEST_F(StreamServerTest, TakesARequestOneByteAtATime) {
  StartServer();
  TlsClient client = Connect();
  const std::string frame = Frame(std::string(200, 'x'));
  for (const char byte : frame) ASSERT_TRUE(client.Write(AsBytes(std::string_view(&byte, 1))).ok());
  const auto answer = client.ReadExactly(frame.size());
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(*answer, frame);
}

TEST_F(StreamServerTest, TakesSeveralRequestsOnOneConnectionAndInOneWrite) {
  StartServer();
  TlsClient client = Connect();
  for (int i = 0; i < 20; ++i) ExpectEcho(client, std::to_string(i));
  const std::string both = Frame("first") + Frame("second");
  ASSERT_TRUE(client.Write(AsBytes(both)).ok());
  const auto answers = client.ReadExactly(both.size());
  ASSERT_TRUE(answers.ok()) << answers.status();
  EXPECT_EQ(*answers, both);
}

TEST_F(StreamServerTest, AnswerArrivesThoughThePeerSentMoreThanWasRead) {
  std::promise<std::function<void()>> started;
  StartServer({}, {.close_after_answer = true,
                   .outside_work = [&started](std::function<void()> done) { started.set_value(std::move(done)); }});
  TlsClient client = Connect();
  ASSERT_TRUE(client.Write(AsBytes(Frame("wanted"))).ok());
  const auto done = started.get_future().get();
  // Nothing is read now, so that this is in the socket when the server closes it.
  ASSERT_TRUE(client.Write(AsBytes(std::string(50'000, 'x'))).ok());
  done();
  EXPECT_EQ(client.ReadExactly(7).value_or("error"), Frame("wanted"));
  EXPECT_EQ(client.ReadSome().value_or("error"), "");
}

TEST_F(StreamServerTest, SendsAnAnswerLargerThanTheSocketBuffersToASlowReader) {
  StartServer({}, {.close_after_answer = true, .answer_repeats = 400'000});
  TlsClient client = Connect();
  const std::string frame = Frame("0123456789abcdef");
  ASSERT_TRUE(client.Write(AsBytes(frame)).ok());
  const auto answer = client.ReadExactly(400'000 * frame.size());
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->substr(answer->size() - frame.size()), frame);
}

TEST_F(StreamServerTest, ServesIpv6AndWritesIpv4PeersAsIpv4OnADualStackListener) {
  StartWorkers();
  std::promise<std::string> v4_peer;
  std::promise<std::string> v6_peer;
  StreamServerOptions options;
  options.name = "dual";
  options.tls = MakeTestTlsContext();
  auto server = StreamServer::Start(*workers_, options, [&](const Peer& peer) {
    EXPECT_EQ(peer.listener, "dual");
    EXPECT_LT(peer.worker, 2u);
    (peer.address.find(':') == std::string::npos ? v4_peer : v6_peer).set_value(peer.address);
    return std::make_unique<EchoSession>(EchoBehaviour{}, live_sessions_);
  });
  ASSERT_TRUE(server.ok()) << server.status();
  server_ = *std::move(server);
  TlsClient over_v4 = Connect({}, "127.0.0.1");
  ExpectEcho(over_v4, "v4");
  EXPECT_EQ(v4_peer.get_future().get(), "127.0.0.1");
  TlsClient over_v6 = Connect({}, "::1");
  ExpectEcho(over_v6, "v6");
  EXPECT_EQ(v6_peer.get_future().get(), "::1");
}

TEST_F(StreamServerTest, ShowsItsCertificateToClientsThatExpectIt) {
  StartServer();
  TlsClientOptions options;
  options.expected_certificate = Sha256(AsBytes(GetTestIdentity().certificate_der));
  TlsClient client = Connect(options);
  EXPECT_EQ(client.peer_certificate_der(), GetTestIdentity().certificate_der);
  options.expected_certificate->front() ^= 1;
  EXPECT_TRUE(absl::IsUnauthenticated(TlsClient::Connect("127.0.0.1", port(), options).status()));
}

// A context with a certificate of its own, whose DER it leaves in `der`.
std::shared_ptr<TlsContext> MakeOtherTlsContext(KeyKind kind, std::string& der) {
  CertificateTemplate form;
  form.subject = *DistinguishedName::FromAttributes({{"CN", "another listener"}});
  form.not_before = absl::Now() - absl::Hours(1);
  form.not_after = absl::Now() + absl::Hours(1);
  const PrivateKey key = *PrivateKey::Generate(kind);
  const Certificate certificate = *BuildSelfSigned(form, key);
  der = AsText(certificate.der());
  return *TlsContext::Create({.certificate_chain_pem = certificate.ToPem(), .private_key = key.get()});
}

TEST_F(StreamServerTest, ANewCertificateIsForNewConnections) {
  StartServer();
  TlsClient early = Connect();
  ExpectEcho(early, "before");
  for (const KeyKind kind : {KeyKind::kEcP256, KeyKind::kRsa2048}) {
    std::string der;
    server_->UseTls(MakeOtherTlsContext(kind, der));
    TlsClient client = Connect();
    EXPECT_EQ(client.peer_certificate_der(), der);
    ExpectEcho(client, "after");
    ExpectEcho(early, "still here");
  }
  EXPECT_EQ(early.peer_certificate_der(), GetTestIdentity().certificate_der);
}

TEST_F(StreamServerTest, ATicketOfTheCertificateBeforeGivesAFullHandshake) {
  StartServer();
  for (const bool use_tickets : {true, false}) {
    for (const TlsVersion version : {TlsVersion::kTls12, TlsVersion::kTls13}) {
      if (!use_tickets && version == TlsVersion::kTls13) continue;
      TlsClientOptions options = {.min_version = version, .max_version = version, .use_tickets = use_tickets};
      TlsClient first = Connect(options);
      ExpectEcho(first, "first");
      options.session = first.Session();
      ASSERT_NE(options.session, nullptr);
      first.Close();
      std::string der;
      server_->UseTls(MakeOtherTlsContext(KeyKind::kEcP256, der));
      TlsClient second = Connect(options);
      EXPECT_FALSE(second.resumed());
      EXPECT_EQ(second.peer_certificate_der(), der);
      ExpectEcho(second, "second");
      options.session = second.Session();
      second.Close();
      TlsClient third = Connect(options);
      EXPECT_TRUE(third.resumed());
      ExpectEcho(third, "third");
    }
  }
}

TEST_F(StreamServerTest, CertificatesChangeWhileHandshakesRun) {
  StartServer({}, {.close_after_answer = true});
  std::atomic<bool> stop = false;
  std::thread changes([this, &stop] {
    std::string der;
    const std::shared_ptr<TlsContext> other = MakeOtherTlsContext(KeyKind::kEcP256, der);
    const std::shared_ptr<TlsContext> first = MakeTestTlsContext();
    while (!stop) {
      server_->UseTls(other);
      server_->UseTls(first);
      std::this_thread::yield();
    }
  });
  for (int i = 0; i < 50; ++i) {
    TlsClient client = Connect();
    ExpectEcho(client, "question");
  }
  stop = true;
  changes.join();
}

TEST_F(StreamServerTest, OutsideWorkMayEndInAnotherThread) {
  std::promise<std::function<void()>> started;
  StartServer({}, {.outside_work = [&started](std::function<void()> done) { started.set_value(std::move(done)); }});
  TlsClient client = Connect();
  const std::string frame = Frame("look up");
  ASSERT_TRUE(client.Write(AsBytes(frame)).ok());
  std::thread elsewhere([&started] {
    const auto done = started.get_future().get();
    done();
    done();  // Once too often: without effect.
  });
  const auto answer = client.ReadExactly(frame.size());
  elsewhere.join();
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(*answer, frame);
}

TEST_F(StreamServerTest, OutsideWorkMayEndAtOnce) {
  StartServer({}, {.outside_work = [](const std::function<void()>& done) { done(); }});
  TlsClient client = Connect();
  ExpectEcho(client, "first");
  ExpectEcho(client, "second");
}

TEST_F(StreamServerTest, OutsideWorkMayEndAfterThePeerHasGone) {
  std::promise<std::function<void()>> started;
  StartServer({}, {.outside_work = [&started](std::function<void()> done) { started.set_value(std::move(done)); }});
  TlsClient client = Connect();
  ASSERT_TRUE(client.Write(AsBytes(Frame("look up"))).ok());
  const auto done = started.get_future().get();
  client.Reset();
  done();
  EXPECT_THAT(events_.WaitFor(Kind::kClosedMidMessage).detail, HasSubstr("could not leave"));
  StopServer();
  EXPECT_EQ(live_sessions_, 0);
}

TEST_F(StreamServerTest, OutsideWorkMayEndAfterTheServerAndItsWorkers) {
  std::promise<std::function<void()>> started;
  StartServer({}, {.outside_work = [&started](std::function<void()> done) { started.set_value(std::move(done)); }});
  TlsClient client = Connect();
  ASSERT_TRUE(client.Write(AsBytes(Frame("look up"))).ok());
  auto done = started.get_future().get();
  StopServer();
  EXPECT_EQ(live_sessions_, 0);
  done();
  workers_.reset();
  done();
  done = nullptr;
}

TEST_F(StreamServerTest, StopClosesConnectionsInEveryState) {
  StartServer({}, {.answer_repeats = 1'000'000});
  const RawClient silent = RawClient::Connect(port());
  RawClient shaking = RawClient::Connect(port());
  shaking.Send(MakeClientHello().substr(0, 50));
  TlsClient idle = Connect();
  TlsClient not_reading = Connect();
  ASSERT_TRUE(not_reading.Write(AsBytes(Frame("a long answer"))).ok());
  EXPECT_EQ(not_reading.ReadExactly(14).value_or(""), Frame("a long answer"));
  server_->Stop();
  EXPECT_EQ(live_sessions_, 0);
  EXPECT_EQ(statistics().open_connections, 0);
  EXPECT_TRUE(shaking.ReadUntilClosed().has_value());
  EXPECT_EQ(idle.ReadSome().value_or("error"), "");
  server_->Stop();
  EXPECT_EQ(TlsClient::Connect("127.0.0.1", port()).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(StreamServerTest, SeveralListenersShareTheWorkers) {
  StartServer();
  StreamServerOptions options;
  options.name = "second";
  options.address = "127.0.0.1";
  options.tls = MakeTestTlsContext();
  auto second = StreamServer::Start(*workers_, options, [this](const Peer&) {
    return std::make_unique<EchoSession>(EchoBehaviour{}, live_sessions_);
  });
  ASSERT_TRUE(second.ok()) << second.status();
  TlsClient client = Connect();
  auto other = TlsClient::Connect("127.0.0.1", (*second)->port());
  ASSERT_TRUE(other.ok()) << other.status();
  ExpectEcho(client, "one");
  ExpectEcho(*other, "two");
  (*second)->Stop();
  ExpectEcho(client, "still here");
}

TEST_F(StreamServerTest, ManyClientsAtOnceGetTheirOwnAnswers) {
  StartServer({}, {.close_after_answer = true});
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([this, thread] {
      for (int i = 0; i < 25; ++i) {
        TlsClient client = Connect();
        ExpectEcho(client, fmt::format("client {} request {}", thread, i));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(statistics().accepted, 100);
  StopServer();
  EXPECT_EQ(live_sessions_, 0);
}

TEST_F(StreamServerTest, NamesATakenAddressAndTheCommandThatFindsItsHolder) {
  StartServer();
  StreamServerOptions options;
  options.address = "127.0.0.1";
  options.port = port();
  options.tls = MakeTestTlsContext();
  const auto second = StreamServer::Start(*workers_, options, nullptr);
  EXPECT_TRUE(absl::IsFailedPrecondition(second.status()));
  EXPECT_THAT(std::string(StatusMessage(second.status())), HasSubstr(fmt::format("127.0.0.1:{}", port())));
  EXPECT_THAT(std::string(StatusMessage(second.status())), HasSubstr("ss -ltnp"));
}

TEST_F(StreamServerTest, RefusesOptionsThatMakeNoSense) {
  StartWorkers();
  StreamServerOptions options;
  options.address = "127.0.0.1";
  options.tls = MakeTestTlsContext();
  options.exempt_networks = {"10.0.0.0/33"};
  EXPECT_TRUE(absl::IsInvalidArgument(StreamServer::Start(*workers_, options, nullptr).status()));
  options.exempt_networks = {};
  options.address = "phones.example";
  EXPECT_TRUE(absl::IsInvalidArgument(StreamServer::Start(*workers_, options, nullptr).status()));
  options.address = "127.0.0.1";
  options.interface = "no-such-device";
  EXPECT_TRUE(absl::IsFailedPrecondition(StreamServer::Start(*workers_, options, nullptr).status()));
}

TEST_F(StreamServerTest, BindsToAnInterface) {
  StreamServerOptions options;
  options.interface = "lo";
  StartServer(options);
  TlsClient client = Connect();
  ExpectEcho(client, "on the loopback device");
}

}  // namespace
}  // namespace trustline
