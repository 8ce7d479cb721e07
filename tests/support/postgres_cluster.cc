#include "tests/support/postgres_cluster.h"

#include <fcntl.h>
#include <grp.h>
#include <libpq-fe.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string_view>
#include <thread>
#include <vector>

#include "common/status/status.h"

namespace trustline {
namespace {

namespace fs = std::filesystem;

constexpr auto kProcessPoll = std::chrono::milliseconds(10);
constexpr auto kStartLimit = std::chrono::seconds(60);

absl::StatusOr<fs::path> FindBinaries() {
  fs::path newest;
  int newest_version = 0;
  std::error_code error;
  for (fs::directory_iterator entry("/usr/lib/postgresql", error), end; !error && entry != end;
       entry.increment(error)) {
    const int version = std::atoi(entry->path().filename().c_str());
    if (version > newest_version && fs::exists(entry->path() / "bin" / "initdb")) {
      newest = entry->path() / "bin";
      newest_version = version;
    }
  }
  if (newest_version < 15)
    return NotFound("no PostgreSQL 15 or later under /usr/lib/postgresql: apt install postgresql");
  return newest;
}

// argv for execv() and the strings it points to.
class Arguments {
 public:
  explicit Arguments(std::vector<std::string> words) : words_(std::move(words)) {
    for (std::string& word : words_) pointers_.push_back(word.data());
    pointers_.push_back(nullptr);
  }
  Arguments(const Arguments&) = delete;
  Arguments& operator=(const Arguments&) = delete;
  char* const* argv() const { return pointers_.data(); }

 private:
  std::vector<std::string> words_;
  std::vector<char*> pointers_;
};

// Between fork() and execv() of a threaded program only async-signal-safe calls are allowed: the functions named
// InChild... make no others.

void InChildDropRights(uid_t uid, gid_t gid) {
  if (geteuid() != 0) return;
  if (setgroups(0, nullptr) != 0 || setgid(gid) != 0 || setuid(uid) != 0) _exit(126);
}

void InChildExecute(char* const* argv, int output) {
  const int input = open("/dev/null", O_RDONLY);
  dup2(input, 0);
  dup2(output, 1);
  dup2(output, 2);
  close_range(3, ~0U, 0);
  // The test's masked or ignored signals are not the server's.
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  execv(argv[0], argv);
  _exit(127);
}

// Ends when no process of the server is left. When the other end of `lifeline` is closed it ends the server at once
// and, because the test is gone, becomes the program that removes the folder.
[[noreturn]] void InChildKeep(pid_t postmaster, int lifeline, char* const* remove) {
  // The children of a killed postmaster become ours, so that their end is seen too.
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  bool postmaster_ended = false;
  while (true) {
    pollfd fd = {.fd = lifeline, .events = POLLIN, .revents = 0};
    const bool orphaned = poll(&fd, 1, 20) > 0;
    if (orphaned && !postmaster_ended) {
      kill(postmaster, SIGCONT);
      kill(postmaster, SIGQUIT);
    }
    pid_t ended;
    while ((ended = waitpid(-1, nullptr, orphaned ? 0 : WNOHANG)) > 0) postmaster_ended |= ended == postmaster;
    if (ended == 0) continue;
    if (orphaned) execv(remove[0], remove);
    _exit(0);
  }
}

std::vector<pid_t> ChildrenOf(pid_t parent) {
  std::vector<pid_t> children;
  std::error_code error;
  for (fs::directory_iterator entry("/proc", error), end; !error && entry != end; entry.increment(error)) {
    const pid_t pid = std::atoi(entry->path().filename().c_str());
    if (pid <= 0) continue;
    std::ifstream file(entry->path() / "stat");
    // By the stream, which takes the error of a process that has ended meanwhile; iterators would throw it.
    std::ostringstream content;
    content << file.rdbuf();
    const std::string stat = content.str();
    // "pid (name) state ppid ...": the name may hold anything, so count from its last parenthesis.
    const size_t name_end = stat.rfind(')');
    if (name_end == std::string::npos || name_end + 4 >= stat.size()) continue;
    if (std::atoi(stat.c_str() + name_end + 4) == parent) children.push_back(pid);
  }
  return children;
}

}  // namespace

PostgresCluster::~PostgresCluster() {
  if (running()) Kill().IgnoreError();
  std::error_code ignored;
  if (!directory_.empty()) fs::remove_all(directory_, ignored);
}

absl::Status PostgresCluster::Start() {
  if (running()) return absl::OkStatus();
  if (directory_.empty()) RETURN_IF_ERROR(Initialize());
  RETURN_IF_ERROR(StartPostmaster());
  return WaitUntilReady();
}

absl::Status PostgresCluster::Initialize() {
  ASSIGN_OR_RETURN(binaries_, FindBinaries());
  if (geteuid() == 0) {
    const passwd* account = getpwnam("postgres");
    if (account == nullptr) account = getpwnam("nobody");
    if (account == nullptr) return NotFound("root cannot run PostgreSQL and there is no user postgres or nobody");
    account_ = Account{account->pw_uid, account->pw_gid};
  }
  std::error_code error;
  std::string pattern = (fs::temp_directory_path(error) / "tlpg.XXXXXX").string();
  if (error) return Internal("there is no folder for temporary files: {}", error.message());
  if (mkdtemp(pattern.data()) == nullptr) return Internal("mkdtemp {}: {}", pattern, std::strerror(errno));
  directory_ = pattern;
  // Daemons under test may run as other users; the data directory in it is private by itself.
  if (chmod(pattern.c_str(), 0755) != 0) return Internal("chmod {}: {}", pattern, std::strerror(errno));
  if (account_.has_value() && chown(pattern.c_str(), account_->uid, account_->gid) != 0) {
    return Internal("chown {}: {}", pattern, std::strerror(errno));
  }

  const Arguments arguments({binaries_ / "initdb", "-D", directory_ / "data", "-U", "postgres", "-A", "trust", "-E",
                             "UTF8", "--no-locale", "--no-sync", "--no-instructions"});
  const fs::path log = directory_ / "initdb.log";
  const int output = open(log.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  const pid_t child = fork();
  if (child == 0) {
    InChildDropRights(account_.has_value() ? account_->uid : 0, account_.has_value() ? account_->gid : 0);
    if (chdir("/") != 0) _exit(126);
    InChildExecute(arguments.argv(), output);
  }
  close(output);
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
    std::ifstream file(log);
    return Internal("initdb failed: {}", std::string((std::istreambuf_iterator<char>(file)), {}));
  }
  // Nothing reaches the disk by force, but every commit reaches the kernel: a SIGKILL of the server loses nothing.
  std::ofstream(directory_ / "data" / "postgresql.auto.conf", std::ios::app)
      << "listen_addresses = ''\n"
      << "unix_socket_directories = '" << directory_.string() << "'\n"
      << "fsync = off\nfull_page_writes = off\nshared_buffers = 32MB\nmax_connections = 200\n"
      << "max_wal_size = 256MB\nlog_min_messages = warning\n";
  return absl::OkStatus();
}

absl::Status PostgresCluster::StartPostmaster() {
  const Arguments arguments({binaries_ / "postgres", "-D", directory_ / "data"});
  const Arguments remove({"/bin/rm", "-rf", directory_});
  const fs::path log = directory_ / "server.log";
  const int output = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  int lifeline[2];
  int report[2];
  if (output < 0 || pipe2(lifeline, O_CLOEXEC) != 0 || pipe2(report, O_CLOEXEC) != 0) {
    return Internal("no descriptors for a PostgreSQL server: {}", std::strerror(errno));
  }
  const uid_t uid = account_.has_value() ? account_->uid : 0;
  const gid_t gid = account_.has_value() ? account_->gid : 0;
  keeper_ = fork();
  if (keeper_ == 0) {
    // Out of the reach of signals for the test's process group, such as Ctrl-C: the pipe tells.
    setsid();
    const pid_t postmaster = fork();
    if (postmaster == 0) {
      InChildDropRights(uid, gid);
      // After the change of user, which clears it. SIGQUIT is the immediate shutdown of all server processes.
      prctl(PR_SET_PDEATHSIG, SIGQUIT);
      if (chdir("/") != 0) _exit(126);
      InChildExecute(arguments.argv(), output);
    }
    [[maybe_unused]] const ssize_t written = write(report[1], &postmaster, sizeof(postmaster));
    // Sockets of the test that this process held open would never look closed to their peers.
    dup2(lifeline[0], 3);
    close_range(4, ~0U, 0);
    const int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; ++fd) dup2(null, fd);
    InChildKeep(postmaster, 3, remove.argv());
  }
  close(output);
  close(lifeline[0]);
  close(report[1]);
  keeper_pipe_ = lifeline[1];
  const bool reported = keeper_ > 0 && read(report[0], &postmaster_, sizeof(postmaster_)) == sizeof(postmaster_);
  close(report[0]);
  if (!reported || postmaster_ <= 0) return Internal("the PostgreSQL server cannot be started");
  return absl::OkStatus();
}

absl::Status PostgresCluster::WaitUntilReady() {
  const std::string conninfo =
      fmt::format("host={} dbname=postgres user=postgres connect_timeout=5", socket_directory());
  const auto limit = std::chrono::steady_clock::now() + kStartLimit;
  while (PQping(conninfo.c_str()) != PQPING_OK) {
    if (kill(postmaster_, 0) != 0 || std::chrono::steady_clock::now() > limit) {
      const std::string log = ServerLog();
      Kill().IgnoreError();
      return Internal("the PostgreSQL server does not start: {}", log);
    }
    std::this_thread::sleep_for(kProcessPoll);
  }
  return absl::OkStatus();
}

absl::Status PostgresCluster::Stop() {
  if (!running()) return absl::OkStatus();
  if (paused_) RETURN_IF_ERROR(Resume());
  kill(postmaster_, SIGINT);  // fast shutdown: open transactions are rolled back
  return WaitUntilEnded();
}

absl::Status PostgresCluster::Kill() {
  if (!running()) return absl::OkStatus();
  // Stopped first, so that it starts no child between the look and the kill.
  SignalAll(SIGSTOP);
  SignalAll(SIGKILL);
  return WaitUntilEnded();
}

absl::Status PostgresCluster::Pause() {
  if (!running()) return FailedPrecondition("the server does not run");
  SignalAll(SIGSTOP);
  paused_ = true;
  return absl::OkStatus();
}

absl::Status PostgresCluster::Resume() {
  if (!running()) return FailedPrecondition("the server does not run");
  SignalAll(SIGCONT);
  paused_ = false;
  return absl::OkStatus();
}

void PostgresCluster::SignalAll(int signal) {
  // Before and after: a killed postmaster has no children any more, a stopped one may have started some meanwhile.
  std::vector<pid_t> children = ChildrenOf(postmaster_);
  kill(postmaster_, signal);
  for (const pid_t child : ChildrenOf(postmaster_)) children.push_back(child);
  for (const pid_t child : children) kill(child, signal);
}

absl::Status PostgresCluster::WaitUntilEnded() {
  if (waitpid(keeper_, nullptr, 0) != keeper_) {
    return Internal("the keeper of the server is lost: {}", std::strerror(errno));
  }
  close(keeper_pipe_);
  keeper_pipe_ = -1;
  keeper_ = 0;
  postmaster_ = 0;
  paused_ = false;
  return absl::OkStatus();
}

std::string PostgresCluster::ServerLog() const {
  std::ifstream file(directory_ / "server.log");
  return std::string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
}

}  // namespace trustline
