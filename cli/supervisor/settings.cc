#include "cli/supervisor/settings.h"

#include <arpa/inet.h>
#include <limits.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "common/status/status.h"

namespace trustline {
namespace {

namespace fs = std::filesystem;

absl::Status CheckAddress(const std::string& option, const std::string& address) {
  in6_addr parsed;
  if (inet_pton(AF_INET, address.c_str(), &parsed) == 1 || inet_pton(AF_INET6, address.c_str(), &parsed) == 1) {
    return absl::OkStatus();
  }
  return InvalidArgument("{} {}: that is not an IPv4 or IPv6 address (:: means all)", option, address);
}

absl::StatusOr<std::string> FindMigrations(const std::string& bin_dir) {
  const fs::path directory = fs::path(bin_dir).parent_path() / "share" / "trustline" / "migrations";
  if (fs::is_directory(directory)) return directory.string();
  return NotFound("the migrations are not in {}: name their folder with --migrations", directory.string());
}

}  // namespace

absl::StatusOr<std::string> OwnDirectory() {
  char buffer[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", buffer, sizeof(buffer));
  if (length <= 0) return Internal("cannot find the folder of this program: {}", std::strerror(errno));
  return fs::path(std::string(buffer, static_cast<size_t>(length))).parent_path().string();
}

absl::StatusOr<Settings> CompleteSettings(Settings settings) {
  RETURN_IF_ERROR(CheckAddress("--listen", settings.listen));
  RETURN_IF_ERROR(CheckAddress("--grpc-listen", settings.grpc_listen));
  if (settings.bin_dir.empty()) {
    ASSIGN_OR_RETURN(settings.bin_dir, OwnDirectory());
  }
  std::error_code error;
  settings.bin_dir = fs::absolute(settings.bin_dir, error).lexically_normal().string();
  if (settings.migrations.empty()) {
    ASSIGN_OR_RETURN(settings.migrations, FindMigrations(settings.bin_dir));
  }
  if (settings.data.empty()) return InvalidArgument("--data needs the name of a directory");
  fs::path data = fs::weakly_canonical(settings.data, error);
  if (error) return FailedPrecondition("the data directory {} cannot be used: {}", settings.data, error.message());
  if (data.is_relative()) data = fs::absolute(data);
  if (!data.has_filename()) data = data.parent_path();
  settings.data = data.string();
  return settings;
}

absl::StatusOr<Ports> Ports::WithOffset(int offset) {
  Ports ports;
  for (uint16_t Ports::*port :
       {&Ports::tvs, &Ports::capf, &Ports::sip, &Ports::sip_tls, &Ports::tvsd_grpc, &Ports::itld_grpc, &Ports::cad_grpc,
        &Ports::capfd_grpc, &Ports::provisiond_grpc, &Ports::crl, &Ports::tvsd_metrics, &Ports::itld_metrics,
        &Ports::cad_metrics, &Ports::capfd_metrics, &Ports::provisiond_metrics}) {
    const int moved = ports.*port + offset;
    if (moved < 1 || moved > 65535) {
      return InvalidArgument("--port-offset {}: port {} would become {}; ports go from 1 to 65535", offset, ports.*port,
                             moved);
    }
    ports.*port = static_cast<uint16_t>(moved);
  }
  return ports;
}

std::vector<ListenerAddress> Listeners(const Settings& settings, const Ports& ports, bool with_database) {
  std::vector<ListenerAddress> listeners = {{"phones, TVS", settings.listen, ports.tvs}};
  if (with_database) {
    listeners.push_back({"phones, CAPF", settings.listen, ports.capf, "capfd"});
    listeners.push_back({"reports, SIP over UDP", settings.listen, ports.sip, "provisiond", /*is_udp=*/true});
    listeners.push_back({"reports, SIP over TCP", settings.listen, ports.sip, "provisiond"});
    listeners.push_back({"reports, SIP over TLS", settings.listen, ports.sip_tls, "provisiond"});
  }
  listeners.push_back({"CRLs over HTTP", settings.listen, ports.crl});
  listeners.push_back({"gRPC of tvsd", settings.grpc_listen, ports.tvsd_grpc});
  listeners.push_back({"metrics and health of tvsd", "127.0.0.1", ports.tvsd_metrics});
  if (with_database) {
    listeners.push_back({"gRPC of itld", settings.grpc_listen, ports.itld_grpc, "itld"});
    listeners.push_back({"metrics and health of itld", "127.0.0.1", ports.itld_metrics, "itld"});
    listeners.push_back({"gRPC of cad", settings.grpc_listen, ports.cad_grpc, "cad"});
    listeners.push_back({"metrics and health of cad", "127.0.0.1", ports.cad_metrics, "cad"});
    listeners.push_back({"gRPC of capfd", settings.grpc_listen, ports.capfd_grpc, "capfd"});
    listeners.push_back({"metrics and health of capfd", "127.0.0.1", ports.capfd_metrics, "capfd"});
    listeners.push_back({"gRPC of provisiond", settings.grpc_listen, ports.provisiond_grpc, "provisiond"});
    listeners.push_back({"metrics and health of provisiond", "127.0.0.1", ports.provisiond_metrics, "provisiond"});
  }
  return listeners;
}

std::string HostPort(const std::string& address, uint16_t port) {
  return address.find(':') == std::string::npos ? fmt::format("{}:{}", address, port)
                                                : fmt::format("[{}]:{}", address, port);
}

std::string LocalAddress(const std::string& address) {
  if (address == "0.0.0.0") return "127.0.0.1";
  if (address == "::") return "127.0.0.1";  // listeners on :: accept both
  return address;
}

}  // namespace trustline
