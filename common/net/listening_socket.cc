#include "common/net/listening_socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "common/net/ip_address.h"
#include "common/status/status.h"

namespace trustline {
namespace {

// The kernel lowers it to net.core.somaxconn.
constexpr int kBacklog = 4'096;

struct BindAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

BindAddress MakeBindAddress(const IpAddress& address, bool as_v4, uint16_t port) {
  BindAddress result;
  if (as_v4) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(result.storage);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    std::memcpy(&v4.sin_addr, address.bytes().data() + 12, sizeof(v4.sin_addr));
    result.size = sizeof(v4);
  } else {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(result.storage);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    std::memcpy(&v6.sin6_addr, address.bytes().data(), sizeof(v6.sin6_addr));
    result.size = sizeof(v6);
  }
  return result;
}

absl::Status BindError(const std::string& endpoint, uint16_t port, int error) {
  switch (error) {
    case EADDRINUSE:
      return FailedPrecondition(
          "cannot listen on {}: the address is in use; find the program that holds it with: ss -ltnp 'sport = :{}'",
          endpoint, port);
    case EACCES:
      return PermissionDenied(
          "cannot listen on {}: no right to ports below 1024; start as root, grant CAP_NET_BIND_SERVICE, or choose a "
          "higher port",
          endpoint);
    case EADDRNOTAVAIL:
      return FailedPrecondition(
          "cannot listen on {}: no interface of this machine has that address; list them with: ip address", endpoint);
    default:
      return Unavailable("cannot listen on {}: {}", endpoint, std::strerror(error));
  }
}

}  // namespace

absl::StatusOr<UniqueFd> ListenOn(const std::string& address, uint16_t port, const std::string& interface) {
  ASSIGN_OR_RETURN(IpAddress ip, IpAddress::Parse(address));
  const std::string endpoint = EndpointText(address, port);
  bool as_v4 = ip.is_v4();
  UniqueFd fd(socket(as_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid() && errno == EAFNOSUPPORT && ip == IpAddress()) {
    as_v4 = true;
    fd.Reset(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  }
  if (!fd.valid()) return BindError(endpoint, port, errno);

  const int on = 1;
  const int off = 0;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (!as_v4) setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  if (!interface.empty() &&
      setsockopt(fd.get(), SOL_SOCKET, SO_BINDTODEVICE, interface.data(), interface.size()) != 0) {
    const int error = errno;
    return FailedPrecondition("cannot bind {} to interface {}: {}; list the interfaces with: ip link", endpoint,
                              interface, std::strerror(error));
  }
  const BindAddress bind_address = MakeBindAddress(ip, as_v4, port);
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&bind_address.storage), bind_address.size) != 0 ||
      listen(fd.get(), kBacklog) != 0) {
    return BindError(endpoint, port, errno);
  }
  return fd;
}

uint16_t LocalPort(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  return SockaddrPort(address);
}

}  // namespace trustline
