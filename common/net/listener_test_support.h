// What the tests of the socket layer share: a certificate, a small protocol, a raw TCP client and a log of events.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/net/io_workers.h"
#include "common/net/session.h"
#include "common/net/stream_server.h"
#include "common/net/tls_context.h"
#include "common/posix/unique_fd.h"
#include "common/x509/openssl_ptr.h"

namespace trustline {

// A self-signed RSA 2048 certificate, made once a process.
struct TestIdentity {
  EvpPkeyPtr key;
  std::string certificate_pem;
  std::string certificate_der;
};
const TestIdentity& GetTestIdentity();

std::shared_ptr<TlsContext> MakeTestTlsContext(TlsContextOptions options = {});

// A message of the test protocol: one byte of length, then the text. The answer repeats it.
std::string Frame(std::string_view text);

struct EchoBehaviour {
  bool close_after_answer = false;
  size_t answer_repeats = 1;  // The answer is so many copies of the frame.
  // Set: each request first waits for this work.
  std::function<void(std::function<void()> done)> outside_work;
};

// Speaks the test protocol. `live` counts sessions that exist.
class EchoSession final : public PhoneSession {
 public:
  EchoSession(EchoBehaviour behaviour, std::atomic<int>& live) : behaviour_(std::move(behaviour)), live_(live) {
    ++live_;
  }
  ~EchoSession() override { --live_; }

  SessionActions OnBytes(ByteView bytes) override;
  SessionActions OnWaitDone() override { return Answer(); }

 private:
  bool HasRequest() const;
  SessionActions Answer();

  const EchoBehaviour behaviour_;
  std::atomic<int>& live_;
  std::string buffer_;
};

// The events of a listener, in order.
class EventLog {
 public:
  struct Entry {
    ConnectionEvent::Kind kind;
    std::string peer_address;
    std::string detail;
  };

  void Add(const ConnectionEvent& event);
  // Waits for the first event of that kind; fails the test when none comes within 30 seconds.
  Entry WaitFor(ConnectionEvent::Kind kind);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Entry> entries_;
};

// A TCP connection without TLS.
class RawClient {
 public:
  static RawClient Connect(uint16_t port, const std::string& address = "127.0.0.1", const std::string& source = "");

  void Send(std::string_view bytes);
  // So many bytes, or what came before the end or 30 seconds of silence.
  std::string ReadExactly(size_t count);
  // Says that nothing more comes from here.
  void EndOutput();
  // All that comes until the server closes, for 30 seconds at most. nullopt: still open then.
  std::optional<std::string> ReadUntilClosed();
  int fd() const { return fd_.get(); }

 private:
  UniqueFd fd_;
};

// The first flight of a TLS client.
std::string MakeClientHello();

// Two workers and a listener on 127.0.0.1 that speaks the test protocol.
class ListenerTest : public testing::Test {
 protected:
  void StartWorkers(size_t count = 2);
  // Starts `server_` with the given options; address, certificate and event log are filled in where missing.
  void StartServer(StreamServerOptions options = {}, EchoBehaviour behaviour = {});
  // The same without TLS.
  void StartPlainServer(StreamServerOptions options = {}, EchoBehaviour behaviour = {});
  // With sessions of the test's own, and TLS only where the options have it.
  void StartServerWith(StreamServerOptions options, SessionFactory factory);
  void StopServer() { server_.reset(); }
  uint16_t port() const { return server_->port(); }
  const ListenerStatistics& statistics() const { return server_->statistics(); }

  EventLog events_;
  std::atomic<int> live_sessions_{0};
  std::unique_ptr<IoWorkers> workers_;
  std::unique_ptr<StreamServer> server_;
};

}  // namespace trustline
