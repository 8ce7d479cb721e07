#include "common/service/daemon.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstring>
#include <iostream>
#include <mutex>
#include <optional>

#include "common/net/http_server.h"
#include "common/service/json.h"
#include "common/status/status.h"

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

// Waits for SIGTERM, SIGINT or a call of Request. Made before any thread, so that all of them leave the signals to it.
class StopNotification {
 public:
  static absl::StatusOr<std::unique_ptr<StopNotification>> Create() {
    signal(SIGPIPE, SIG_IGN);
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    const int signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
    const int request_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    auto notification = std::unique_ptr<StopNotification>(new StopNotification(signal_fd, request_fd));
    if (signal_fd < 0 || request_fd < 0) return Internal("cannot wait for signals: {}", std::strerror(errno));
    return notification;
  }

  ~StopNotification() {
    if (signal_fd_ >= 0) close(signal_fd_);
    if (request_fd_ >= 0) close(request_fd_);
  }

  void Request(absl::Status reason) {
    {
      std::lock_guard lock(mutex_);
      if (!reason_) reason_ = std::move(reason);
    }
    const uint64_t one = 1;
    // Fails only when the counter is full, and then the waiter wakes anyway.
    [[maybe_unused]] const ssize_t written = write(request_fd_, &one, sizeof(one));
  }

  // OK after a signal; the reason after a request.
  absl::Status Wait(Log& log) {
    pollfd waits[] = {{signal_fd_, POLLIN, 0}, {request_fd_, POLLIN, 0}};
    while (poll(waits, 2, -1) < 0 && errno == EINTR) {
    }
    if ((waits[0].revents & POLLIN) != 0) {
      signalfd_siginfo info{};
      if (read(signal_fd_, &info, sizeof(info)) == sizeof(info)) {
        log.Info("DAEMON_SIGNAL", "asked to stop", {{"signal", strsignal(static_cast<int>(info.ssi_signo))}});
      }
      return absl::OkStatus();
    }
    std::lock_guard lock(mutex_);
    return reason_.value_or(absl::OkStatus());
  }

 private:
  StopNotification(int signal_fd, int request_fd) : signal_fd_(signal_fd), request_fd_(request_fd) {}
  int signal_fd_;
  int request_fd_;
  std::mutex mutex_;
  std::optional<absl::Status> reason_;
};

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

absl::Status Serve(DaemonContext& context, DaemonService& service, StopNotification& stop) {
  ASSIGN_OR_RETURN(
      std::unique_ptr<HttpServer> http,
      HttpServer::Start({.address = context.config.metrics_address, .port = context.config.metrics_port},
                        [&context](std::string_view path) { return Answer(path, context.metrics, context.health); }));
  absl::Status status = service.Start();
  if (status.ok()) {
    context.health.SetStarted();
    context.log.Info("DAEMON_STARTED", "every listener accepts",
                     {{"version", TRUSTLINE_VERSION}, {"node", context.config.node}, {"metrics_port", http->port()}});
    status = stop.Wait(context.log);
    if (!status.ok()) context.log.Error("DAEMON_FAILED", "stops because of an error", {{"error", status}});
  }
  context.health.ClearChecks();
  service.Stop();
  http->Stop();
  if (status.ok()) context.log.Info("DAEMON_STOPPED", "stopped cleanly");
  return status;
}

absl::Status Run(const DaemonDescription& description, const Arguments& arguments, const DaemonBuilder& build) {
  ASSIGN_OR_RETURN(ConfigFile file, ConfigFile::Load(arguments.config));
  ASSIGN_OR_RETURN(const DaemonConfig config, ReadDaemonConfig(description, file.root()));
  ASSIGN_OR_RETURN(std::unique_ptr<StopNotification> stop, StopNotification::Create());
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
                           .request_stop = [&stop](absl::Status reason) { stop->Request(std::move(reason)); }};
  ASSIGN_OR_RETURN(std::unique_ptr<DaemonService> service, build(context));
  RETURN_IF_ERROR(file.RefuseUnknownKeys());
  if (arguments.check_config) {
    std::cout << fmt::format("{}: the configuration is good\n", arguments.config);
    return absl::OkStatus();
  }
  return Serve(context, *service, *stop);
}

}  // namespace

int RunDaemon(int argc, char** argv, const DaemonDescription& description, const DaemonBuilder& build) {
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
