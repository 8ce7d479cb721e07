// Compares the TLS server with its floor, a bare OpenSSL server with the same SSL_CTX settings: one server core, the
// clients on another, RSA 2048, one request of 900 bytes and one answer of 30 a connection. Rounds alternate between
// both, and the median of their ratios counts. Prints two ratios: of rates, which says nothing once the clients' core
// is full, and of processor time of the server a connection, which is not limited by the clients.
#include <sched.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "common/net/io_workers.h"
#include "common/net/listening_socket.h"
#include "common/net/session.h"
#include "common/net/stream_server.h"
#include "common/net/tls_context.h"
#include "common/x509/certificate_builder.h"
#include "common/x509/private_key.h"
#include "tests/benchmarks/floor_server.h"
#include "tests/benchmarks/load_clients.h"
#include "tests/support/tvs_form.h"

namespace trustline {
namespace {

constexpr int kServerCore = 0;
constexpr int kClientCore = 1;
constexpr size_t kRequestSize = 900;
constexpr size_t kAnswerSize = 30;

void PinTo(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  if (sched_setaffinity(0, sizeof(set), &set) != 0) std::perror("sched_setaffinity");
}

class ConstantSession final : public PhoneSession {
 public:
  SessionActions OnBytes(ByteView bytes) override {
    received_ += bytes.size();
    SessionActions actions;
    if (received_ < kRequestSize) return actions;
    actions.send.assign(kAnswerSize, 'a');
    actions.close = true;
    return actions;
  }
  SessionActions OnWaitDone() override { return {}; }

 private:
  size_t received_ = 0;
};

absl::StatusOr<std::shared_ptr<TlsContext>> MakeContext() {
  ASSIGN_OR_RETURN(const PrivateKey key, PrivateKey::Generate(KeyKind::kRsa2048));
  ASSIGN_OR_RETURN(const Certificate certificate, BuildSelfSigned(TvsForm("floor.example", absl::Now()), key));
  TlsContextOptions options;
  options.certificate_chain_pem = certificate.ToPem();
  options.private_key = key.get();
  return TlsContext::Create(options);
}

// A server in a process of its own, on the servers' core.
class ServerProcess {
 public:
  ServerProcess(bool floor, const std::shared_ptr<TlsContext>& tls) {
    int ports[2];
    if (pipe(ports) != 0) std::abort();
    pid_ = fork();
    if (pid_ == 0) {
      PinTo(kServerCore);
      floor ? RunFloor(ports[1], *tls) : RunStreamServer(ports[1], tls);
    }
    close(ports[1]);
    if (read(ports[0], &port_, sizeof(port_)) != sizeof(port_)) {
      std::fprintf(stderr, "the server did not start\n");
      std::exit(1);
    }
    close(ports[0]);
    clock_getcpuclockid(pid_, &clock_);
  }
  ~ServerProcess() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

  uint16_t port() const { return port_; }
  double CpuSeconds() const {
    timespec time;
    clock_gettime(clock_, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  }

 private:
  static void Announce(int pipe, uint16_t port) {
    if (write(pipe, &port, sizeof(port)) != sizeof(port)) _exit(1);
    close(pipe);
  }

  [[noreturn]] static void RunFloor(int pipe, const TlsContext& tls) {
    std::signal(SIGPIPE, SIG_IGN);
    const auto listener = ListenOn("127.0.0.1", 0);
    if (!listener.ok()) _exit(1);
    Announce(pipe, LocalPort(listener->get()));
    RunFloorServer(listener->get(), tls.ssl_ctx(), kRequestSize, std::string(kAnswerSize, 'a'));
  }

  [[noreturn]] static void RunStreamServer(int pipe, const std::shared_ptr<TlsContext>& tls) {
    const auto workers = IoWorkers::Start(1);
    if (!workers.ok()) _exit(1);
    StreamServerOptions options;
    options.name = "benchmark";
    options.address = "127.0.0.1";
    options.tls = tls;
    const auto server =
        StreamServer::Start(**workers, options, [](const Peer&) { return std::make_unique<ConstantSession>(); });
    if (!server.ok()) _exit(1);
    Announce(pipe, (*server)->port());
    while (true) pause();
  }

  pid_t pid_ = -1;
  uint16_t port_ = 0;
  clockid_t clock_ = 0;
};

struct Measurement {
  double rate;
  double cpu_microseconds;
};

Measurement Measure(bool floor, const std::shared_ptr<TlsContext>& tls, Load load) {
  const ServerProcess server(floor, tls);
  load.port = server.port();
  Load warm_up = load;
  warm_up.duration = std::chrono::milliseconds(100);
  RunLoad(warm_up);
  const double before = server.CpuSeconds();
  const LoadResult result = RunLoad(load);
  if (result.failures > 0) {
    std::fprintf(stderr, "%llu connections failed\n", static_cast<unsigned long long>(result.failures));
  }
  return {result.rate(), 1e6 * (server.CpuSeconds() - before) / static_cast<double>(result.answers)};
}

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

void Compare(const char* name, const std::shared_ptr<TlsContext>& tls, const Load& load, int rounds) {
  std::vector<double> rate_ratios, cpu_ratios, floor_rates, rates, floor_cpu, cpu;
  for (int round = 0; round < rounds; ++round) {
    // Every other round in the other order, so that a drift of the machine favours neither.
    const bool floor_first = round % 2 == 0;
    const Measurement first = Measure(floor_first, tls, load);
    const Measurement second = Measure(!floor_first, tls, load);
    const Measurement& floor = floor_first ? first : second;
    const Measurement& ours = floor_first ? second : first;
    rate_ratios.push_back(ours.rate / floor.rate);
    cpu_ratios.push_back(floor.cpu_microseconds / ours.cpu_microseconds);
    floor_rates.push_back(floor.rate);
    rates.push_back(ours.rate);
    floor_cpu.push_back(floor.cpu_microseconds);
    cpu.push_back(ours.cpu_microseconds);
  }
  std::printf("%-16s floor %6.0f/s %6.1f us   server %6.0f/s %6.1f us   ratio of rates %.3f   of processor time %.3f\n",
              name, Median(floor_rates), Median(floor_cpu), Median(rates), Median(cpu), Median(rate_ratios),
              Median(cpu_ratios));
  std::fflush(stdout);
}

int Main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 7;
  const int milliseconds = argc > 2 ? std::atoi(argv[2]) : 1'000;
  if (rounds < 1 || milliseconds < 1) {
    std::fprintf(stderr, "usage: tls_floor_benchmark [ROUNDS [MILLISECONDS]]\n");
    return 1;
  }
  const auto tls = MakeContext();
  if (!tls.ok()) {
    std::fprintf(stderr, "%s\n", tls.status().ToString().c_str());
    return 1;
  }
  PinTo(kClientCore);
  Load load;
  load.request.assign(kRequestSize, 'q');
  load.answer.assign(kAnswerSize, 'a');
  load.duration = std::chrono::milliseconds(milliseconds);
  for (const int version : {TLS1_3_VERSION, TLS1_2_VERSION}) {
    for (const bool resume : {false, true}) {
      load.max_version = version;
      load.resume = resume;
      Compare(fmt::format("TLS {} {}", version == TLS1_3_VERSION ? "1.3" : "1.2", resume ? "resumed" : "full").c_str(),
              *tls, load, rounds);
    }
  }
  return 0;
}

}  // namespace
}  // namespace trustline

int main(int argc, char** argv) { return trustline::Main(argc, argv); }
