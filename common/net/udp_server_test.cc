#include "common/net/udp_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <atomic>
#include <condition_variable>
#include <cstring>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "common/net/ip_address.h"
#include "common/net/listening_socket.h"
#include "common/posix/unique_fd.h"
#include "common/status/status.h"

namespace trustline {
namespace {

using testing::HasSubstr;

sockaddr_storage MakeSockaddr(const std::string& address, uint16_t port, socklen_t& size) {
  sockaddr_storage result{};
  auto& v4 = reinterpret_cast<sockaddr_in&>(result);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(result);
  if (inet_pton(AF_INET, address.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    size = sizeof(v4);
  } else {
    EXPECT_EQ(inet_pton(AF_INET6, address.c_str(), &v6.sin6_addr), 1);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    size = sizeof(v6);
  }
  return result;
}

struct Datagram {
  std::string bytes;
  std::string from;
  uint16_t from_port = 0;
};

// Takes answers from any address.
class UdpClient {
 public:
  explicit UdpClient(const std::string& address) {
    socklen_t size = 0;
    const sockaddr_storage own = MakeSockaddr(address, 0, size);
    fd_.Reset(socket(own.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const timeval limit{30, 0};
    setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    EXPECT_EQ(bind(fd_.get(), reinterpret_cast<const sockaddr*>(&own), size), 0) << std::strerror(errno);
  }

  void Send(const std::string& address, uint16_t port, std::string_view bytes) {
    socklen_t size = 0;
    const sockaddr_storage to = MakeSockaddr(address, port, size);
    EXPECT_EQ(sendto(fd_.get(), bytes.data(), bytes.size(), 0, reinterpret_cast<const sockaddr*>(&to), size),
              static_cast<ssize_t>(bytes.size()));
  }

  // Waits for 30 seconds at most.
  Datagram Receive() {
    std::string bytes(65'536, '\0');
    sockaddr_storage from{};
    socklen_t size = sizeof(from);
    const ssize_t count = recvfrom(fd_.get(), bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&from), &size);
    if (count < 0) return {"nothing came", "", 0};
    bytes.resize(static_cast<size_t>(count));
    return {bytes, IpAddress::FromSockaddr(from).ToText(), SockaddrPort(from)};
  }

  uint16_t port() const { return LocalPort(fd_.get()); }

 private:
  UniqueFd fd_;
};

// What came, and the replies that are still to be made.
class Inbox {
 public:
  struct Entry {
    Peer peer;
    std::string bytes;
    DatagramReply reply;
  };

  void Add(const Peer& peer, ByteView datagram, const DatagramReply& reply) {
    const std::lock_guard lock(mutex_);
    entries_.push_back({peer, std::string(AsText(datagram)), reply});
    changed_.notify_all();
  }
  // All of them, once so many have come; fails the test after 30 seconds.
  std::vector<Entry> TakeAll(size_t count) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(30), [&] { return entries_.size() >= count; }));
    return std::exchange(entries_, {});
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Entry> entries_;
};

void Echo(const Peer&, ByteView datagram, const DatagramReply& reply) { reply("re: " + std::string(AsText(datagram))); }

class UdpServerTest : public testing::Test {
 protected:
  void Start(UdpServerOptions options = {}, DatagramHandler handler = Echo) {
    auto workers = IoWorkers::Start(2);
    ASSERT_TRUE(workers.ok()) << workers.status();
    workers_ = *std::move(workers);
    options.name = "test";
    auto server = UdpServer::Start(*workers_, std::move(options), std::move(handler));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  // Replies are made by the test.
  void StartWithInbox(UdpServerOptions options = {}) {
    Start(std::move(options), [this](const Peer& peer, ByteView datagram, const DatagramReply& reply) {
      inbox_.Add(peer, datagram, reply);
    });
  }
  uint16_t port() const { return server_->port(); }
  const DatagramStatistics& statistics() const { return server_->statistics(); }

  Inbox inbox_;
  std::unique_ptr<IoWorkers> workers_;
  std::unique_ptr<UdpServer> server_;
};

TEST_F(UdpServerTest, AnswersOverBothVersionsFromTheAddressThatWasAsked) {
  Start();
  UdpClient v4("127.0.0.1");
  for (const std::string address : {"127.0.0.1", "127.0.0.5", "127.8.9.10"}) {
    v4.Send(address, port(), "question");
    const Datagram answer = v4.Receive();
    EXPECT_EQ(answer.bytes, "re: question");
    EXPECT_EQ(answer.from, address);
    EXPECT_EQ(answer.from_port, port());
  }
  UdpClient v6("::1");
  v6.Send("::1", port(), "question");
  const Datagram answer = v6.Receive();
  EXPECT_EQ(answer.bytes, "re: question");
  EXPECT_EQ(answer.from, "::1");
  EXPECT_EQ(answer.from_port, port());
}

TEST_F(UdpServerTest, AnswersFromTheAddressThatWasAskedWithoutIpv6) {
  Start({.address = "0.0.0.0"});
  UdpClient client("127.0.0.1");
  for (const std::string address : {"127.0.0.1", "127.0.0.5"}) {
    client.Send(address, port(), "question");
    const Datagram answer = client.Receive();
    EXPECT_EQ(answer.bytes, "re: question");
    EXPECT_EQ(answer.from, address);
  }
}

TEST_F(UdpServerTest, SaysWhoSentADatagram) {
  StartWithInbox();
  UdpClient v4("127.0.0.7");
  v4.Send("127.0.0.1", port(), "four");
  const Inbox::Entry first = inbox_.TakeAll(1).front();
  EXPECT_EQ(first.bytes, "four");
  EXPECT_EQ(first.peer.address, "127.0.0.7");
  EXPECT_EQ(first.peer.port, v4.port());
  EXPECT_EQ(first.peer.listener, "test");
  EXPECT_LT(first.peer.worker, 2u);
  EXPECT_EQ(first.peer.certificate, nullptr);
  UdpClient v6("::1");
  v6.Send("::1", port(), "six");
  EXPECT_EQ(inbox_.TakeAll(1).front().peer.ToText(), EndpointText("::1", v6.port()));
}

TEST_F(UdpServerTest, AThousandDatagramsAreAnsweredInTheirOrder) {
  Start();
  UdpClient client("127.0.0.1");
  // No more at once than a client's buffer holds.
  constexpr int kAtOnce = 50;
  for (int first = 0; first < 1'000; first += kAtOnce) {
    for (int i = first; i < first + kAtOnce; ++i) client.Send("127.0.0.1", port(), std::to_string(i));
    for (int i = first; i < first + kAtOnce; ++i) ASSERT_EQ(client.Receive().bytes, fmt::format("re: {}", i));
  }
  server_->Stop();
  EXPECT_EQ(statistics().received, 1'000);
  EXPECT_EQ(statistics().sent, 1'000);
  EXPECT_EQ(statistics().not_sent, 0);
}

TEST_F(UdpServerTest, MoreThanATurnOfWaitingDatagramsIsRead) {
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  Start({}, [released](const Peer& peer, ByteView datagram, const DatagramReply& reply) {
    released.wait();  // so that the others wait in the socket
    Echo(peer, datagram, reply);
  });
  UdpClient client("127.0.0.1");
  for (int i = 0; i < 150; ++i) client.Send("127.0.0.1", port(), std::to_string(i));
  release.set_value();
  for (int i = 0; i < 150; ++i) ASSERT_EQ(client.Receive().bytes, fmt::format("re: {}", i));
}

TEST_F(UdpServerTest, WhatIsLargerThanTheLimitIsCountedAndDropped) {
  Start({.largest_datagram = 100});
  UdpClient client("127.0.0.1");
  client.Send("127.0.0.1", port(), std::string(101, 'x'));
  client.Send("127.0.0.1", port(), std::string(100, 'y'));
  EXPECT_EQ(client.Receive().bytes, "re: " + std::string(100, 'y'));
  EXPECT_EQ(statistics().truncated, 1);
  EXPECT_EQ(statistics().received, 1);
}

TEST_F(UdpServerTest, TakesTheLargestAndTheSmallestDatagram) {
  StartWithInbox();
  UdpClient client("127.0.0.1");
  const std::string largest(65'507, 'x');  // RFC 768 and 791: 65,535 without the headers
  client.Send("127.0.0.1", port(), largest);
  client.Send("127.0.0.1", port(), "");
  const auto entries = inbox_.TakeAll(2);
  EXPECT_TRUE(entries[0].bytes == largest);
  EXPECT_EQ(entries[1].bytes, "");
  entries[1].reply("nothing received");
  EXPECT_EQ(client.Receive().bytes, "nothing received");
}

TEST_F(UdpServerTest, CountsAnswersThatTheNetworkDoesNotTake) {
  StartWithInbox();
  UdpClient client("127.0.0.1");
  client.Send("127.0.0.1", port(), "question");
  inbox_.TakeAll(1).front().reply(std::string(65'508, 'x'));
  EXPECT_EQ(statistics().not_sent, 1);
  EXPECT_EQ(statistics().sent, 0);
}

TEST_F(UdpServerTest, RepliesComeFromAnyThreadAndInAnyOrder) {
  StartWithInbox();
  UdpClient one("127.0.0.1");
  UdpClient two("::1");
  one.Send("127.0.0.3", port(), "one");
  two.Send("::1", port(), "two");
  auto entries = inbox_.TakeAll(2);
  std::thread elsewhere([&entries] {
    for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) entry->reply("re: " + entry->bytes);
  });
  elsewhere.join();
  EXPECT_EQ(two.Receive().bytes, "re: two");
  const Datagram answer = one.Receive();
  EXPECT_EQ(answer.bytes, "re: one");
  EXPECT_EQ(answer.from, "127.0.0.3");
}

TEST_F(UdpServerTest, RepliesAfterTheEndDoNothing) {
  StartWithInbox();
  UdpClient client("127.0.0.1");
  client.Send("127.0.0.1", port(), "question");
  const uint16_t old_port = port();
  auto entries = inbox_.TakeAll(1);
  server_->Stop();
  entries.front().reply("too late");
  EXPECT_EQ(statistics().sent, 0);
  EXPECT_EQ(statistics().not_sent, 0);
  server_->Stop();
  server_.reset();
  // Although a reply is outstanding, the port is free, and its new owner answers alone.
  auto next = UdpServer::Start(*workers_, {.name = "next", .port = old_port}, Echo);
  ASSERT_TRUE(next.ok()) << next.status();
  entries.front().reply("too late");
  client.Send("127.0.0.1", old_port, "again");
  EXPECT_EQ(client.Receive().bytes, "re: again");
  next->reset();
  workers_.reset();
  entries.front().reply("too late");
}

TEST_F(UdpServerTest, MayStopWhileRepliesAreMade) {
  for (int round = 0; round < 20; ++round) {
    StartWithInbox();
    UdpClient client("127.0.0.1");
    for (int i = 0; i < 10; ++i) client.Send("127.0.0.1", port(), "question");
    const auto entries = inbox_.TakeAll(10);
    std::atomic<bool> stop = false;
    std::atomic<int> made = 0;
    std::thread answering([&] {
      while (!stop) {
        for (const auto& entry : entries) entry.reply("answer");
        ++made;
      }
    });
    while (made == 0) std::this_thread::yield();
    server_->Stop();
    const uint64_t sent = statistics().sent;
    const int before = made;
    while (made < before + 2) std::this_thread::yield();  // at least one whole round after Stop
    EXPECT_EQ(statistics().sent, sent);
    EXPECT_GT(sent, 0u);
    server_.reset();
    stop = true;
    answering.join();
  }
}

TEST_F(UdpServerTest, MayStopWhileDatagramsArrive) {
  for (int round = 0; round < 20; ++round) {
    Start();
    std::atomic<bool> stop = false;
    std::thread sending([&stop, port = port()] {
      UdpClient client("127.0.0.1");
      while (!stop) client.Send("127.0.0.1", port, "question");
    });
    while (statistics().received == 0) std::this_thread::yield();
    server_->Stop();
    const uint64_t received = statistics().received;
    EXPECT_GT(received, 0u);
    server_.reset();
    stop = true;
    sending.join();
  }
}

TEST_F(UdpServerTest, ATakenPortIsNamedWithTheCommandThatFindsItsHolder) {
  Start({.address = "127.0.0.1"});
  const auto second = UdpServer::Start(*workers_, {.name = "second", .address = "127.0.0.1", .port = port()}, Echo);
  EXPECT_TRUE(absl::IsFailedPrecondition(second.status()));
  EXPECT_THAT(std::string(StatusMessage(second.status())), HasSubstr(fmt::format("127.0.0.1:{}", port())));
  EXPECT_THAT(std::string(StatusMessage(second.status())), HasSubstr("ss -lunp"));
}

TEST_F(UdpServerTest, TheSamePortOfTcpIsAnother) {
  // Somebody else may have that of TCP just then: not twenty times.
  bool is_free = false;
  for (int i = 0; i < 20 && !is_free; ++i) {
    server_.reset();
    Start({.address = "127.0.0.1"});
    is_free = ListenOn("127.0.0.1", port()).ok();
  }
  EXPECT_TRUE(is_free);
}

TEST_F(UdpServerTest, RefusesOptionsThatMakeNoSense) {
  Start();
  const auto code = [this](UdpServerOptions options) {
    return UdpServer::Start(*workers_, std::move(options), Echo).status().code();
  };
  EXPECT_EQ(code({.address = "phones.example"}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.largest_datagram = 0}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.largest_datagram = 65'536}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.interface = "no-such-device"}), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(code({.address = "192.0.2.1"}), absl::StatusCode::kFailedPrecondition);
}

TEST_F(UdpServerTest, BindsToAnInterface) {
  Start({.interface = "lo"});
  UdpClient client("127.0.0.1");
  client.Send("127.0.0.1", port(), "on the loopback device");
  EXPECT_EQ(client.Receive().bytes, "re: on the loopback device");
}

}  // namespace
}  // namespace trustline
