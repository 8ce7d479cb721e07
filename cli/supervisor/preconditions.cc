#include "cli/supervisor/preconditions.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "cli/supervisor/child_process.h"
#include "common/posix/unique_fd.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr int kOldestPostgres = 15;
constexpr char kDebianPostgres[] = "/usr/lib/postgresql/15/bin";

bool HasPostgres(const std::string& directory) {
  return access((directory + "/postgres").c_str(), X_OK) == 0 && access((directory + "/initdb").c_str(), X_OK) == 0;
}

std::vector<std::string> PathFolders() {
  std::vector<std::string> folders;
  const char* path = std::getenv("PATH");
  std::istringstream parts(path == nullptr ? "" : path);
  for (std::string folder; std::getline(parts, folder, ':');) {
    if (!folder.empty() && folder.front() == '/') folders.push_back(folder);
  }
  return folders;
}

// A socket address of `address`; IPv6 ones take IPv4 too, as the listeners do.
socklen_t MakeSocketAddress(const std::string& address, uint16_t port, sockaddr_storage& storage) {
  storage = {};
  auto* v4 = reinterpret_cast<sockaddr_in*>(&storage);
  if (inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    return sizeof(sockaddr_in);
  }
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);
  storage = {};
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(port);
  return inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr) == 1 ? sizeof(sockaddr_in6) : 0;
}

absl::Status CheckPortFree(const ListenerAddress& listener, const std::optional<SystemUser>& user) {
  const std::string where = HostPort(listener.address, listener.port);
  sockaddr_storage storage;
  const socklen_t length = MakeSocketAddress(listener.address, listener.port, storage);
  if (length == 0) return InvalidArgument("{} is not an IPv4 or IPv6 address", listener.address);
  const UniqueFd socket_fd(socket(storage.ss_family, (listener.is_udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0));
  if (!socket_fd.valid()) {
    return FailedPrecondition("{} ({}): {}; try --listen 0.0.0.0", where, listener.what, std::strerror(errno));
  }
  // As the listeners do, so that connections that only linger are no obstacle.
  const int on = 1, off = 0;
  if (!listener.is_udp) setsockopt(socket_fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (storage.ss_family == AF_INET6) {
    setsockopt(socket_fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  }
  const auto try_to_listen = [&]() -> absl::StatusOr<int> {
    const ActAs scope(user);
    RETURN_IF_ERROR(scope.status());
    const bool bound = bind(socket_fd.get(), reinterpret_cast<sockaddr*>(&storage), length) == 0;
    return bound && (listener.is_udp || listen(socket_fd.get(), 1) == 0) ? 0 : errno;
  };
  ASSIGN_OR_RETURN(const int error, try_to_listen());
  switch (error) {
    case 0:
      return absl::OkStatus();
    case EADDRINUSE:
      return FailedPrecondition(
          "port {} for {} is taken ({}): `ss -l{}np sport = :{}` shows by whom; end that program or move all ports "
          "with "
          "--port-offset 10000",
          listener.port, listener.what, where, listener.is_udp ? "u" : "t", listener.port);
    case EACCES:
      return PermissionDenied(
          "no right to listen on port {} for {}: ports below 1024 are not for {}; move all ports with --port-offset "
          "10000",
          listener.port, listener.what, user ? fmt::format("the user {}", user->name) : "users other than root");
    case EADDRNOTAVAIL:
      return FailedPrecondition("{} for {} is no address of this machine: `ip address` lists them", listener.address,
                                listener.what);
    default:
      return FailedPrecondition("cannot listen on {} for {}: {}", where, listener.what, std::strerror(error));
  }
}

}  // namespace

absl::StatusOr<std::string> FindPostgres(const std::string& asked_for) {
  if (!asked_for.empty()) {
    if (HasPostgres(asked_for)) return asked_for;
    return NotFound("there is no PostgreSQL in {} (it must hold initdb and postgres): correct --postgres-bin-dir",
                    asked_for);
  }
  if (HasPostgres(kDebianPostgres)) return std::string(kDebianPostgres);
  for (const std::string& folder : PathFolders()) {
    if (access((folder + "/pg_config").c_str(), X_OK) == 0) {
      const auto asked =
          RunToEnd({.program = folder + "/pg_config", .arguments = {"--bindir"}, .user = {}}, absl::Seconds(10));
      if (asked.ok() && asked->wait_status == 0) {
        const std::string named = asked->output.substr(0, asked->output.find('\n'));
        if (HasPostgres(named)) return named;
      }
    }
    if (HasPostgres(folder)) return folder;
  }
  return NotFound(
      "PostgreSQL {} is not installed (neither in {} nor on the PATH): apt-get install postgresql-15, or name the "
      "folder of initdb with --postgres-bin-dir",
      kOldestPostgres, kDebianPostgres);
}

absl::StatusOr<int> ParsePostgresVersion(const std::string& text) {
  constexpr std::string_view kPrefix = "postgres (PostgreSQL) ";
  int major = 0;
  if (text.starts_with(kPrefix)) major = std::atoi(text.c_str() + kPrefix.size());
  if (major < 1 || major > 999) return InvalidArgument("\"{}\" is not a version of PostgreSQL", text.substr(0, 60));
  return major;
}

absl::StatusOr<int> PostgresVersion(const std::string& postgres_bin_dir) {
  ASSIGN_OR_RETURN(
      const FinishedProcess asked,
      RunToEnd({.program = postgres_bin_dir + "/postgres", .arguments = {"--version"}, .user = {}}, absl::Seconds(10)));
  ASSIGN_OR_RETURN(const int major, ParsePostgresVersion(asked.output));
  if (major < kOldestPostgres) {
    return FailedPrecondition("{} is PostgreSQL {}; {} or later is needed", postgres_bin_dir, major, kOldestPostgres);
  }
  return major;
}

absl::Status CheckProgram(const std::string& path, bool other_users) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return NotFound("the program {} is missing: build it, or name its folder with --bin-dir", path);
  }
  const mode_t needed = other_users ? S_IXOTH : 0;
  if ((status.st_mode & needed) != needed || access(path.c_str(), X_OK) != 0) {
    return FailedPrecondition("the program {} may not be executed{}: chmod 755 {}", path,
                              other_users ? " by the system users" : "", path);
  }
  return absl::OkStatus();
}

absl::Status CheckPortsFree(const std::vector<ListenerAddress>& listeners, const SystemUsers& users) {
  for (const ListenerAddress& listener : listeners) {
    const std::optional<SystemUser>& user = listener.daemon == "itld"         ? users.itld
                                            : listener.daemon == "cad"        ? users.cad
                                            : listener.daemon == "capfd"      ? users.capfd
                                            : listener.daemon == "provisiond" ? users.provisiond
                                                                              : users.tvsd;
    RETURN_IF_ERROR(CheckPortFree(listener, user));
  }
  return absl::OkStatus();
}

}  // namespace trustline
