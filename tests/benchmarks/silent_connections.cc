#include <netinet/in.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <thread>

#include "common/net/http_client.h"
#include "common/posix/unique_fd.h"
#include "common/status/status.h"
#include "tests/benchmarks/load_clients.h"
#include "tests/benchmarks/measurements.h"

namespace trustline {
namespace {

constexpr size_t kSilent = 10'000;
constexpr uint32_t kAddresses = 100;  // 127.1.0.1 and on, each with its share
constexpr std::chrono::seconds kDuration{12};
constexpr double kWantedSlowdown = 2;
constexpr double kWantedMegabytes = 200;

// Holds connections that never send a byte, and opens a new one for each that the server closes.
class SilentConnections {
 public:
  explicit SilentConnections(uint16_t port)
      : port_(port), epoll_(epoll_create1(EPOLL_CLOEXEC)), sockets_(kSilent), thread_([this] { Run(); }) {}
  ~SilentConnections() {
    stopping_ = true;
    thread_.join();
  }

  // Once, all of them.
  void WaitUntilOpened() const {
    while (opened_ + failed_ < kSilent) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  uint64_t opened() const { return opened_; }
  uint64_t failed() const { return failed_; }

 private:
  void Open(size_t index) {
    UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const int on = 1;
    setsockopt(fd.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(0x7f010001u + static_cast<uint32_t>(index) % kAddresses);
    const bool bound = bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port_);
    if (!bound || (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 &&
                   errno != EINPROGRESS)) {
      ++failed_;
      return;
    }
    epoll_event event{EPOLLIN | EPOLLRDHUP, {.u64 = index}};
    epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd.get(), &event);
    sockets_[index] = std::move(fd);
    ++opened_;
  }

  void Run() {
    // It shares a core with the honest clients, and opening 10,000 connections takes half a second of it: what delays
    // them shall be the server, not this program. The kernel runs such a thread when nothing else wants the core.
    const sched_param none{};
    sched_setscheduler(0, SCHED_IDLE, &none);
    for (size_t index = 0; index < kSilent && !stopping_; ++index) Open(index);
    std::array<epoll_event, 256> events;
    while (!stopping_) {
      const int count = epoll_wait(epoll_.get(), events.data(), events.size(), 100);
      for (int i = 0; i < count; ++i) Open(events[i].data.u64);  // closes the old one
    }
  }

  const uint16_t port_;
  const UniqueFd epoll_;
  std::vector<UniqueFd> sockets_;
  std::atomic<uint64_t> opened_{0};
  std::atomic<uint64_t> failed_{0};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

// The kernel opens connections faster than the node takes them; those in between are not silent peers yet.
absl::Status WaitUntilAccepted(const TvsdProcess& node) {
  constexpr std::string_view kOpen = "trustline_tls_open_connections{";
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (std::chrono::steady_clock::now() < end) {
    ASSIGN_OR_RETURN(const HttpResponse metrics,
                     HttpGet("127.0.0.1", node.metrics_port(), "/metrics", std::chrono::seconds(2)));
    const size_t line = metrics.body.find(kOpen);
    const size_t value = line == std::string::npos ? line : metrics.body.find("} ", line);
    if (value == std::string::npos) return Internal("the node counts no open connections");
    if (std::strtod(metrics.body.c_str() + value + 2, nullptr) >= static_cast<double>(kSilent)) return absl::OkStatus();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return DeadlineExceeded("the node has not accepted {} connections within 10 s", kSilent);
}

absl::StatusOr<LoadResult> AskHonestly(const Load& load) {
  LoadResult result = RunLoad(load);
  if (result.failures > 0) return Internal("{} honest questions were not answered", result.failures);
  return result;
}

// The node's greatest resident memory while `work` runs, in bytes.
template <typename Work>
int64_t GreatestMemoryDuring(const TvsdProcess& node, const Work& work) {
  std::atomic<bool> done{false};
  int64_t greatest = 0;
  std::thread watcher([&] {
    while (!done) {
      greatest = std::max(greatest, node.ResidentBytes().value_or(0));
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  });
  work();
  done = true;
  watcher.join();
  return greatest;
}

}  // namespace

absl::Status MeasureSilentConnections(const BenchmarkSite& site, Report& report) {
  ASSIGN_OR_RETURN(const auto node, site.StartNode({.workers = 1, .core = kServerCore}));
  const PinnedTo pinned(kClientCore);
  Load load;
  load.port = node->tvs_port();
  load.request = site.VerifyRequest(site.series.Der(1));
  load.answer = site.ValidAnswer();
  load.clients = 8;
  load.interval = std::chrono::milliseconds(40);

  // 1. Alone. What OpenSSL and the allocator keep after the first clients is not the silent ones' doing.
  load.duration = std::chrono::seconds(1);
  RETURN_IF_ERROR(AskHonestly(load).status());
  load.duration = kDuration;
  ASSIGN_OR_RETURN(const LoadResult alone, AskHonestly(load));
  ASSIGN_OR_RETURN(const int64_t memory_before, node->ResidentBytes());

  // 2. Beside 10,000 that are silent, through two of their handshake deadlines.
  absl::Status accepted;
  absl::StatusOr<LoadResult> beside;
  uint64_t opened = 0;
  uint64_t failed = 0;
  const int64_t memory = GreatestMemoryDuring(*node, [&] {
    const SilentConnections silent(node->tvs_port());
    silent.WaitUntilOpened();
    accepted = WaitUntilAccepted(*node);
    if (!accepted.ok()) return;
    beside = AskHonestly(load);
    opened = silent.opened();
    failed = silent.failed();
  });
  RETURN_IF_ERROR(accepted);
  RETURN_IF_ERROR(beside.status());
  if (failed > 0 || opened < kSilent * 2) {
    return Internal("{} silent connections were opened and {} failed: the load was not what it should be", opened,
                    failed);
  }

  // 3. Alone again: the better of both is the floor, so that a disturbance of one does not flatter the figure.
  ASSIGN_OR_RETURN(const LoadResult again, AskHonestly(load));
  const double p99_before = std::min(Percentile(alone.latencies, 0.99), Percentile(again.latencies, 0.99));
  const double p50_before = std::min(Percentile(alone.latencies, 0.5), Percentile(again.latencies, 0.5));
  const double p99 = Percentile(beside->latencies, 0.99);
  const double megabytes = static_cast<double>(memory - memory_before) / 1e6;
  report.Add({.measure = "p99 of honest clients beside 10,000 silent ones",
              .figure = fmt::format("{:.2f} ms", p99),
              .floor = fmt::format("{:.2f} ms", p99_before),
              .ratio = p99 / p99_before,
              .wanted = "<= 2.00",
              .met = p99 <= kWantedSlowdown * p99_before});
  report.Add({.measure = "p50 of honest clients beside 10,000 silent ones",
              .figure = fmt::format("{:.2f} ms", Percentile(beside->latencies, 0.5)),
              .floor = fmt::format("{:.2f} ms", p50_before)});
  report.Add({.measure = fmt::format("memory of 10,000 silent ones ({} opened)", opened),
              .figure = fmt::format("{:.1f} MB more", megabytes),
              .wanted = "<= 200 MB",
              .met = megabytes <= kWantedMegabytes});
  return absl::OkStatus();
}

}  // namespace trustline
