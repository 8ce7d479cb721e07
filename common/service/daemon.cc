#include "common/service/daemon.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstring>
#include <iostream>
#include <optional>

#include "common/net/http_server.h"
#include "common/posix/unique_fd.h"
#include "common/service/json.h"
#include "common/status/status.h"
#include "common/x509/openssl_exit.h"

namespace trustline {
namespace {

struct Arguments {
  std::string config;
  bool check_config = false;
};

// The exit status when the process is to end here.
std::optional<int> ParseArguments(int argc, char** argv, const DaemonDescription& description, Arguments& arguments) {
  CLI::App app(description.summary, description.name);
  app.add_option("--config", arguments.config, "configuration file (TOML)")->required()->type_name("FILE");
  app.add_flag("--check-config", arguments.check_config, "check the configuration and end");
  app.set_version_flag("--version", description.name + " " TRUSTLINE_VERSION);
  app.footer(
      fmt::format("Examples:\n  {0} --config /etc/trustline/{0}.toml\n  {0} --config {0}.toml --check-config\n\n"
                  "A configuration:\n{1}",
                  description.name, description.example));
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    std::cerr << fmt::format("{}: {} (see {} --help)\n", description.name, error.what(), description.name);
    return 1;
  }
  return std::nullopt;
}

// One line whatever the error's words are.
int Fail(const DaemonDescription& description, const absl::Status& status) {
  std::string message(StatusMessage(status));
  for (char& c : message) {
    if (c == '\n') c = ' ';
  }
  std::cerr << fmt::format("{}: {}\n", description.name, PrintableText(message)) << std::flush;
  return 1;
}

// Waits for SIGTERM or SIGINT. Made before any thread, so that all of them leave the signals to it.
class StopSignals {
 public:
  static absl::StatusOr<StopSignals> Block() {
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);  // a daemon has no terminal to lose
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    UniqueFd fd(signalfd(-1, &signals, SFD_CLOEXEC));
    if (!fd.valid()) return Internal("cannot wait for signals: {}", std::strerror(errno));
    return StopSignals(std::move(fd));
  }

  void Wait(Log& log) {
    signalfd_siginfo info{};
    ssize_t size = 0;
    while ((size = read(fd_.get(), &info, sizeof(info))) < 0 && errno == EINTR) {
    }
    if (size == sizeof(info)) {
      log.Info("DAEMON_SIGNAL", "asked to stop", {{"signal", strsignal(static_cast<int>(info.ssi_signo))}});
    }
  }

 private:
  explicit StopSignals(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

// A memory dump would hold private keys and passphrases.
absl::Status ForbidCoreDumps() {
  const rlimit none = {0, 0};
  if (setrlimit(RLIMIT_CORE, &none) != 0) return Internal("cannot forbid core dumps: {}", std::strerror(errno));
  return absl::OkStatus();
}

HttpResponse HealthResponse(const absl::Status& status) {
  if (status.ok()) return {.body = "ok\n"};
  return {.status = 503, .body = fmt::format("{}\n", PrintableText(StatusMessage(status)))};
}

HttpResponse Answer(std::string_view path, Metrics& metrics, Health& health) {
  if (path == "/metrics") {
    return {.content_type = "text/plain; version=0.0.4; charset=utf-8", .body = metrics.Serialize()};
  }
  if (path == "/health/live") return {.body = "ok\n"};
  if (path == "/health/startup") {
    return HealthResponse(health.started() ? absl::OkStatus() : Unavailable("the service is still starting"));
  }
  if (path == "/health/ready") return HealthResponse(health.Ready());
  return {.status = 404, .body = "not found: /metrics, /health/live, /health/ready, /health/startup\n"};
}

absl::Status Serve(DaemonContext& context, DaemonService& service, StopSignals& stop) {
  ASSIGN_OR_RETURN(
      std::unique_ptr<HttpServer> http,
      HttpServer::Start({.address = context.config.metrics_address, .port = context.config.metrics_port},
                        [&context](std::string_view path) { return Answer(path, context.metrics, context.health); }));
  const absl::Status status = service.Start();
  if (status.ok()) {
    context.health.SetStarted();
    context.log.Info("DAEMON_STARTED", "every listener accepts",
                     {{"version", TRUSTLINE_VERSION}, {"node", context.config.node}, {"metrics_port", http->port()}});
    stop.Wait(context.log);
  }
  context.health.ClearChecks();
  service.Stop();
  http->Stop();
  if (status.ok()) context.log.Info("DAEMON_STOPPED", "stopped cleanly");
  return status;
}

absl::Status Run(const DaemonDescription& description, const Arguments& arguments, const DaemonBuilder& build) {
  RETURN_IF_ERROR(ForbidCoreDumps());
  ASSIGN_OR_RETURN(ConfigFile file, ConfigFile::Load(arguments.config));
  ASSIGN_OR_RETURN(const DaemonConfig config, ReadDaemonConfig(description, file.root()));
  ASSIGN_OR_RETURN(StopSignals stop, StopSignals::Block());
  RETURN_IF_ERROR(RaiseFileLimit().status());

  Log log({.service = description.name, .level = config.log_level});
  Metrics metrics(description.name);
  Health health;
  const SystemClock clock;
  DaemonContext context = {.config = config,
                           .root = file.root(),
                           .log = log,
                           .metrics = metrics,
                           .health = health,
                           .clock = clock,
                           .check_only = arguments.check_config};
  ASSIGN_OR_RETURN(std::unique_ptr<DaemonService> service, build(context));
  RETURN_IF_ERROR(file.RefuseUnknownKeys());
  if (arguments.check_config) {
    std::cout << fmt::format("{}: the configuration is good\n", arguments.config);
    return absl::OkStatus();
  }
  return Serve(context, *service, stop);
}

}  // namespace

int RunDaemon(int argc, char** argv, const DaemonDescription& description, const DaemonBuilder& build) {
  KeepOpenSslUntilExit();
  Arguments arguments;
  if (std::optional<int> status = ParseArguments(argc, argv, description, arguments)) return *status;
  const absl::Status status = Run(description, arguments, build);
  return status.ok() ? 0 : Fail(description, status);
}

absl::StatusOr<uint64_t> RaiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return Internal("cannot read the file limit: {}", std::strerror(errno));
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return Internal("cannot raise the file limit: {}", std::strerror(errno));
  return static_cast<uint64_t>(limit.rlim_cur);
}

}  // namespace trustline
