#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <csignal>

#include "common/net/listening_socket.h"
#include "common/net/tls_context.h"
#include "common/status/status.h"
#include "tests/benchmarks/floor_server.h"
#include "tests/benchmarks/load_clients.h"
#include "tests/benchmarks/measurements.h"

namespace trustline {
namespace {

constexpr int kRounds = 7;
constexpr std::chrono::milliseconds kRound{700};
constexpr std::chrono::milliseconds kWarmUp{100};

// The bare server in a process of its own, on the servers' core. Ends with this object.
class FloorProcess {
 public:
  static absl::StatusOr<std::unique_ptr<FloorProcess>> Start(const TlsContext& tls, size_t request_size,
                                                             const std::string& answer) {
    ASSIGN_OR_RETURN(const UniqueFd listener, ListenOn("127.0.0.1", 0));
    const pid_t pid = fork();
    if (pid < 0) return Internal("fork failed");
    if (pid == 0) {
      std::signal(SIGPIPE, SIG_IGN);
      const PinnedTo pinned(kServerCore);
      RunFloorServer(listener.get(), tls.ssl_ctx(), request_size, answer);
    }
    return std::unique_ptr<FloorProcess>(new FloorProcess(pid, LocalPort(listener.get())));
  }
  ~FloorProcess() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

  uint16_t port() const { return port_; }
  absl::StatusOr<double> CpuSeconds() const {
    clockid_t clock;
    timespec time;
    if (clock_getcpuclockid(pid_, &clock) != 0 || clock_gettime(clock, &time) != 0) {
      return Unavailable("the bare server has ended");
    }
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  }

 private:
  FloorProcess(pid_t pid, uint16_t port) : pid_(pid), port_(port) {}
  const pid_t pid_;
  const uint16_t port_;
};

struct RoundResult {
  double rate = 0;
  double cpu_microseconds = 0;  // of the server, for each answer
  double busy = 0;              // the part of its core's time that the server used
};

template <typename Server>
absl::StatusOr<RoundResult> RunRound(const Server& server, uint16_t port, Load load) {
  load.port = port;
  Load warm_up = load;
  warm_up.duration = kWarmUp;
  RunLoad(warm_up);
  ASSIGN_OR_RETURN(const double before, server.CpuSeconds());
  const LoadResult result = RunLoad(load);
  ASSIGN_OR_RETURN(const double after, server.CpuSeconds());
  if (result.failures > 0 || result.answers == 0) {
    return Internal("{} of {} questions were not answered as they should", result.failures,
                    result.failures + result.answers);
  }
  // The first connection of each client has nothing to resume.
  if (load.resume && result.resumed + load.clients < result.answers) {
    return Internal("only {} of {} connections were resumed", result.resumed, result.answers);
  }
  return RoundResult{result.rate(), 1e6 * (after - before) / static_cast<double>(result.answers),
                     (after - before) / result.seconds};
}

absl::Status Compare(const FloorProcess& floor, const TvsdProcess& node, const Load& load, std::string_view name,
                     double wanted, Report& report) {
  std::vector<double> rate_ratios, cpu_ratios, floor_rates, rates, floor_cpu, cpu, floor_busy, busy;
  for (int round = 0; round < kRounds; ++round) {
    absl::StatusOr<RoundResult> of_floor;
    absl::StatusOr<RoundResult> of_node;
    // Every other round in the other order, so that a drift of the machine favours neither.
    if (round % 2 == 0) of_floor = RunRound(floor, floor.port(), load);
    of_node = RunRound(node, node.tvs_port(), load);
    if (round % 2 == 1) of_floor = RunRound(floor, floor.port(), load);
    if (!of_floor.ok()) return Annotate(of_floor.status(), fmt::format("{}, bare server", name));
    if (!of_node.ok()) return Annotate(of_node.status(), fmt::format("{}, tvsd", name));
    rate_ratios.push_back(of_node->rate / of_floor->rate);
    cpu_ratios.push_back(of_floor->cpu_microseconds / of_node->cpu_microseconds);
    floor_rates.push_back(of_floor->rate);
    rates.push_back(of_node->rate);
    floor_cpu.push_back(of_floor->cpu_microseconds);
    cpu.push_back(of_node->cpu_microseconds);
    floor_busy.push_back(of_floor->busy);
    busy.push_back(of_node->busy);
  }
  report.AddAtLeast(fmt::format("{}: rate", name),
                    fmt::format("{:.0f}/s, {:.0f}% busy", Median(rates), 100 * Median(busy)),
                    fmt::format("{:.0f}/s, {:.0f}% busy", Median(floor_rates), 100 * Median(floor_busy)),
                    Median(rate_ratios), wanted);
  // Rates compare servers only as far as both are busy; processor time does not depend on the clients.
  report.AddAtLeast(fmt::format("{}: processor time", name), fmt::format("{:.0f} us", Median(cpu)),
                    fmt::format("{:.0f} us", Median(floor_cpu)), Median(cpu_ratios), wanted);
  return absl::OkStatus();
}

}  // namespace

absl::Status MeasureHandshakes(const BenchmarkSite& site, Report& report) {
  // 1. The same certificate, settings and number of tickets for both.
  ASSIGN_OR_RETURN(const std::shared_ptr<TlsContext> tls,
                   TlsContext::Create({.certificate_chain_pem = site.nodes->tvs_certificate().ToPem(),
                                       .private_key = site.nodes->tvs_key().get()}));
  Load load;
  load.request = site.VerifyRequest(site.series.Der(kCertificates / 2));
  load.answer = site.ValidAnswer();
  load.duration = kRound;
  ASSIGN_OR_RETURN(const auto floor, FloorProcess::Start(*tls, load.request.size(), load.answer));
  ASSIGN_OR_RETURN(const auto node, site.StartNode({.workers = 1, .core = kServerCore}));

  // 2. Each kind of handshake.
  const PinnedTo pinned(kClientCore);
  for (const int version : {TLS1_3_VERSION, TLS1_2_VERSION}) {
    for (const bool resume : {false, true}) {
      load.max_version = version;
      load.resume = resume;
      const std::string name = fmt::format("{} handshake and verify, TLS {}", resume ? "resumed" : "full",
                                           version == TLS1_3_VERSION ? "1.3" : "1.2");
      RETURN_IF_ERROR(Compare(*floor, *node, load, name, resume ? 0.8 : 0.85, report));
    }
  }
  return absl::OkStatus();
}

}  // namespace trustline
