#include "tests/benchmarks/silent_peers.h"

#include <netinet/in.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <string_view>

#include "common/net/http_client.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr uint32_t kAddresses = 100;  // 127.1.0.1 and on, each with its share

}  // namespace

SilentConnections::SilentConnections(uint16_t port, size_t count)
    : port_(port), count_(count), epoll_(epoll_create1(EPOLL_CLOEXEC)), sockets_(count), thread_([this] { Run(); }) {}

SilentConnections::~SilentConnections() {
  stopping_ = true;
  thread_.join();
}

void SilentConnections::WaitUntilOpened() const {
  while (opened_ + failed_ < count_) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

void SilentConnections::Open(size_t index) {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int on = 1;
  setsockopt(fd.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(0x7f010001u + static_cast<uint32_t>(index) % kAddresses);
  const bool bound = bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port_);
  if (!bound ||
      (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 && errno != EINPROGRESS)) {
    ++failed_;
    return;
  }
  epoll_event event{EPOLLIN | EPOLLRDHUP, {.u64 = index}};
  epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd.get(), &event);
  sockets_[index] = std::move(fd);
  ++opened_;
}

void SilentConnections::Run() {
  // It shares a core with the honest clients, and opening 10,000 connections takes half a second of it: what delays
  // them shall be the server, not this program. The kernel runs such a thread when nothing else wants the core.
  const sched_param none{};
  sched_setscheduler(0, SCHED_IDLE, &none);
  for (size_t index = 0; index < count_ && !stopping_; ++index) Open(index);
  std::array<epoll_event, 256> events;
  while (!stopping_) {
    const int count = epoll_wait(epoll_.get(), events.data(), events.size(), 100);
    for (int i = 0; i < count; ++i) Open(events[i].data.u64);  // closes the old one
  }
}

absl::Status WaitUntilAccepted(const DaemonProcess& daemon, size_t count) {
  constexpr std::string_view kOpen = "trustline_tls_open_connections{";
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (std::chrono::steady_clock::now() < end) {
    ASSIGN_OR_RETURN(const HttpResponse metrics,
                     HttpGet("127.0.0.1", daemon.metrics_port(), "/metrics", std::chrono::seconds(2)));
    const size_t line = metrics.body.find(kOpen);
    const size_t value = line == std::string::npos ? line : metrics.body.find("} ", line);
    if (value == std::string::npos) return Internal("the daemon counts no open connections");
    if (std::strtod(metrics.body.c_str() + value + 2, nullptr) >= static_cast<double>(count)) return absl::OkStatus();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return DeadlineExceeded("the daemon has not accepted {} connections within 10 s", count);
}

}  // namespace trustline
