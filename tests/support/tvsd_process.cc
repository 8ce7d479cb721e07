#include "tests/support/tvsd_process.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "absl/time/clock.h"
#include "common/net/http_client.h"
#include "common/rpc/identity_store.h"
#include "common/status/status.h"
#include "common/x509/certificate_builder.h"

namespace trustline {
namespace {

namespace fs = std::filesystem;
using SteadyClock = std::chrono::steady_clock;

constexpr char kProgram[] = TRUSTLINE_BIN_DIR "/tvsd";
constexpr std::chrono::seconds kStartLimit{30};
constexpr std::chrono::seconds kStopLimit{10};
constexpr std::chrono::milliseconds kPoll{10};

IdentityFiles FilesIn(const fs::path& directory) {
  return {.certificate = directory / "identity.crt",
          .key = directory / "identity.key",
          .authority = directory / "authority.crt"};
}

absl::Status WriteFile(const fs::path& path, std::string_view content) {
  std::ofstream stream(path, std::ios::binary);
  stream << content;
  stream.close();
  if (!stream || chmod(path.c_str(), 0600) != 0) return Internal("cannot write {}", path.string());
  return absl::OkStatus();
}

absl::Status IssueInto(const IdentityAuthority& authority, const fs::path& directory, const Identity& identity) {
  ASSIGN_OR_RETURN(const PrivateKey key, PrivateKey::Generate(KeyKind::kEcP256));
  ASSIGN_OR_RETURN(const Certificate certificate, authority.IssueIdentity(key, identity, absl::Now()));
  fs::create_directories(directory);
  return WriteIdentity(FilesIn(directory), key, certificate, authority.certificate());
}

// Only async-signal-safe calls: the parent may have threads.
[[noreturn]] void InChildExecute(pid_t parent, char* const* argv, int output, std::optional<int> core) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(126);
  if (core) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<size_t>(*core), &set);
    sched_setaffinity(0, sizeof(set), &set);
  }
  const int input = open("/dev/null", O_RDONLY);
  dup2(input, 0);
  dup2(output, 1);
  dup2(output, 2);
  close_range(3, ~0U, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  execv(argv[0], argv);
  _exit(127);
}

}  // namespace

absl::StatusOr<std::unique_ptr<TvsdSite>> TvsdSite::Create(std::string connection) {
  const absl::Time now = absl::Now();
  ASSIGN_OR_RETURN(IdentityAuthority authority, IdentityAuthority::Create(now));
  ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::Generate(KeyKind::kRsa2048));
  ASSIGN_OR_RETURN(const CertificateTemplate form,
                   PhoneFacingTemplate("tvs.test", "Example", "Test", "tvs.example", now));
  ASSIGN_OR_RETURN(Certificate certificate, BuildSelfSigned(form, key));
  return std::unique_ptr<TvsdSite>(
      new TvsdSite(std::move(connection), std::move(authority), std::move(key), std::move(certificate)));
}

absl::StatusOr<IdentityFiles> TvsdSite::IdentityFor(std::string_view uri) const {
  ASSIGN_OR_RETURN(const Identity identity, Identity::Parse(uri));
  const fs::path directory =
      directory_.path() / fmt::format("identity-{}-{}-{}", identity.cluster, identity.kind, identity.name);
  if (!fs::exists(directory)) RETURN_IF_ERROR(IssueInto(authority_, directory, identity));
  return FilesIn(directory);
}

absl::StatusOr<std::string> TvsdSite::WriteNode(const TvsdOptions& options) const {
  const fs::path directory = directory_.path() / options.node;
  ASSIGN_OR_RETURN(const Identity identity, Identity::Create(kSystemCluster, "tvsd", options.node));
  // A node that starts again keeps its identity.
  if (!fs::exists(directory)) RETURN_IF_ERROR(IssueInto(authority_, directory, identity));
  const SecretBytes passphrase("a passphrase for tests");
  RETURN_IF_ERROR(WriteFile(directory / "passphrase", passphrase.ExposeSecret()));
  RETURN_IF_ERROR(tvs_key_.WriteKeyFile(directory / "tvs.key", &passphrase));
  RETURN_IF_ERROR(WriteFile(directory / "tvs.crt", tvs_certificate_.ToPem()));
  const std::string text = fmt::format(
      "[node]\nname = \"{}\"\n[database]\nconnection = \"{}\"\n"
      "[identity]\ncertificate = \"identity.crt\"\nkey = \"identity.key\"\nauthority = \"authority.crt\"\n"
      "[grpc]\naddress = \"127.0.0.1\"\nport = 0\n[metrics]\naddress = \"127.0.0.1\"\nport = 0\n"
      "[log]\nlevel = \"{}\"\n[tvs]\nworkers = {}\n"
      "[[listener]]\ncluster = \"default\"\naddress = \"127.0.0.1\"\nport = 0\ncertificate = \"tvs.crt\"\n"
      "key = \"tvs.key\"\npassphrase_file = \"passphrase\"\n{}{}",
      options.node, connection_, options.log_level, options.workers, options.listener, options.tables);
  const fs::path path = directory / "tvsd.toml";
  RETURN_IF_ERROR(WriteFile(path, text));
  return path.string();
}

absl::StatusOr<std::unique_ptr<TvsdProcess>> TvsdProcess::Start(const TvsdSite& site, const TvsdOptions& options) {
  ASSIGN_OR_RETURN(std::string config, site.WriteNode(options));
  std::string program = kProgram;
  std::string flag = "--config";
  char* const argv[] = {program.data(), flag.data(), config.data(), nullptr};
  int output[2];
  if (pipe2(output, O_CLOEXEC) != 0) return Internal("pipe2: {}", std::strerror(errno));
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) InChildExecute(parent, argv, output[1], options.core);
  close(output[1]);
  if (pid < 0) {
    close(output[0]);
    return Internal("fork: {}", std::strerror(errno));
  }
  auto process = std::unique_ptr<TvsdProcess>(new TvsdProcess(pid, output[0]));
  const absl::Status started = process->WaitForLog("\"DAEMON_STARTED\"", kStartLimit);
  if (!started.ok()) return Annotate(started, kProgram);
  ASSIGN_OR_RETURN(process->tvs_port_, process->PortInLog("TVS_LISTENING", "port"));
  ASSIGN_OR_RETURN(process->grpc_port_, process->PortInLog("RPC_LISTENING", "port"));
  ASSIGN_OR_RETURN(process->metrics_port_, process->PortInLog("DAEMON_STARTED", "metrics_port"));
  return process;
}

TvsdProcess::TvsdProcess(pid_t pid, int output) : pid_(pid), output_(output), reader_([this] { ReadOutput(); }) {}

TvsdProcess::~TvsdProcess() {
  Kill();
  reader_.join();
  close(output_);
}

void TvsdProcess::ReadOutput() {
  char buffer[16'384];
  ssize_t count;
  while ((count = read(output_, buffer, sizeof(buffer))) > 0 || (count < 0 && errno == EINTR)) {
    if (count < 0) continue;
    const std::lock_guard lock(mutex_);
    log_.append(buffer, static_cast<size_t>(count));
    changed_.notify_all();
  }
  const std::lock_guard lock(mutex_);
  output_ended_ = true;
  changed_.notify_all();
}

std::string TvsdProcess::LogText() const {
  const std::lock_guard lock(mutex_);
  return log_;
}

absl::Status TvsdProcess::WaitForLog(std::string_view text, std::chrono::milliseconds limit) const {
  const SteadyClock::time_point end = SteadyClock::now() + limit;
  std::unique_lock lock(mutex_);
  while (true) {
    const size_t found = log_.find(text);
    // The whole line.
    if (found != std::string::npos && log_.find('\n', found) != std::string::npos) return absl::OkStatus();
    if (output_ended_) return Unavailable("ended without printing {}: {}", text, log_);
    if (changed_.wait_until(lock, end) == std::cv_status::timeout) {
      return DeadlineExceeded("has not printed {}: {}", text, log_);
    }
  }
}

absl::StatusOr<uint16_t> TvsdProcess::PortInLog(std::string_view id, std::string_view field) const {
  const std::string log = LogText();
  const size_t line = log.find(fmt::format("\"{}\"", id));
  const size_t line_end = log.find('\n', line);
  const std::string key = fmt::format("\"{}\":", field);
  const size_t found = line == std::string::npos ? line : log.find(key, line);
  uint16_t port = 0;
  if (found < line_end) std::from_chars(log.data() + found + key.size(), log.data() + line_end, port);
  if (port == 0) return NotFound("no {} in the line {} of: {}", field, id, log);
  return port;
}

absl::Status TvsdProcess::WaitUntilReady(std::chrono::milliseconds limit) const {
  const SteadyClock::time_point end = SteadyClock::now() + limit;
  while (true) {
    const absl::StatusOr<HttpResponse> ready =
        HttpGet("127.0.0.1", metrics_port_, "/health/ready", std::chrono::seconds(5));
    if (ready.ok() && ready->status == 200) return absl::OkStatus();
    if (SteadyClock::now() > end) {
      return DeadlineExceeded("tvsd is not ready: {}", ready.ok() ? ready->body : ready.status().ToString());
    }
    std::this_thread::sleep_for(kPoll);
  }
}

bool TvsdProcess::Reap(int options) {
  const std::lock_guard lock(reap_mutex_);
  if (ended_) return true;
  int status = 0;
  if (waitpid(pid_, &status, options) != pid_) return false;
  ended_ = true;
  exit_status_ = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return true;
}

bool TvsdProcess::Running() { return !Reap(WNOHANG); }

absl::Status TvsdProcess::Stop() {
  if (!Reap(WNOHANG)) kill(pid_, SIGTERM);
  const SteadyClock::time_point end = SteadyClock::now() + kStopLimit;
  while (!Reap(WNOHANG)) {
    if (SteadyClock::now() > end) {
      Kill();
      return DeadlineExceeded("tvsd did not stop within {} s: {}", kStopLimit.count(), LogText());
    }
    std::this_thread::sleep_for(kPoll);
  }
  if (exit_status_ != 0) return FailedPrecondition("tvsd ended with status {}: {}", exit_status_, LogText());
  return absl::OkStatus();
}

void TvsdProcess::Kill() {
  if (Reap(WNOHANG)) return;
  kill(pid_, SIGKILL);
  Reap(0);
}

absl::StatusOr<int64_t> TvsdProcess::ResidentBytes() const {
  std::ifstream file(fmt::format("/proc/{}/statm", pid_));
  int64_t size = 0;
  int64_t resident = 0;
  if (!(file >> size >> resident)) return Unavailable("tvsd, process {}, has ended", pid_);
  return resident * sysconf(_SC_PAGESIZE);
}

absl::StatusOr<double> TvsdProcess::CpuSeconds() const {
  clockid_t clock;
  timespec time;
  if (clock_getcpuclockid(pid_, &clock) != 0 || clock_gettime(clock, &time) != 0) {
    return Unavailable("tvsd, process {}, has ended", pid_);
  }
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

}  // namespace trustline
