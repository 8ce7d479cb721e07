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

// Bytes for datagrams that wait to be read, and to leave. The kernel lowers it to net.core.rmem_max and wmem_max.
constexpr int kDatagramBuffer = 4 * 1'024 * 1'024;

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

// Where a socket of one type is to be.
struct Place {
  int type;  // SOCK_STREAM or SOCK_DGRAM
  IpAddress address;
  uint16_t port;
  std::string endpoint;  // in words
};

struct UnboundSocket {
  UniqueFd fd;
  bool is_v4;
};

absl::Status BindError(const Place& place, int error) {
  const std::string& endpoint = place.endpoint;
  switch (error) {
    case EADDRINUSE:
      return FailedPrecondition(
          "cannot listen on {}: the address is in use; find the program that holds it with: ss -l{}np 'sport = :{}'",
          endpoint, place.type == SOCK_STREAM ? 't' : 'u', place.port);
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

void SetOption(const UnboundSocket& socket, int level, int name, int value) {
  setsockopt(socket.fd.get(), level, name, &value, sizeof(value));
}

absl::StatusOr<Place> ParsePlace(int type, const std::string& address, uint16_t port) {
  ASSIGN_OR_RETURN(IpAddress ip, IpAddress::Parse(address));
  return Place{.type = type, .address = ip, .port = port, .endpoint = EndpointText(address, port)};
}

absl::StatusOr<UnboundSocket> MakeSocket(const Place& place, const std::string& interface) {
  const int type = place.type | SOCK_NONBLOCK | SOCK_CLOEXEC;
  UnboundSocket result{.fd = {}, .is_v4 = place.address.is_v4()};
  result.fd.Reset(socket(result.is_v4 ? AF_INET : AF_INET6, type, 0));
  if (!result.fd.valid() && errno == EAFNOSUPPORT && place.address == IpAddress()) {
    result.is_v4 = true;
    result.fd.Reset(socket(AF_INET, type, 0));
  }
  if (!result.fd.valid()) return BindError(place, errno);
  if (!result.is_v4) SetOption(result, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  if (!interface.empty() &&
      setsockopt(result.fd.get(), SOL_SOCKET, SO_BINDTODEVICE, interface.data(), interface.size()) != 0) {
    const int error = errno;
    return FailedPrecondition("cannot bind {} to interface {}: {}; list the interfaces with: ip link", place.endpoint,
                              interface, std::strerror(error));
  }
  return result;
}

absl::Status Bind(const UnboundSocket& socket, const Place& place) {
  const BindAddress address = MakeBindAddress(place.address, socket.is_v4, place.port);
  if (bind(socket.fd.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.size) != 0) {
    return BindError(place, errno);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<UniqueFd> ListenOn(const std::string& address, uint16_t port, const std::string& interface) {
  ASSIGN_OR_RETURN(const Place place, ParsePlace(SOCK_STREAM, address, port));
  ASSIGN_OR_RETURN(UnboundSocket socket, MakeSocket(place, interface));
  SetOption(socket, SOL_SOCKET, SO_REUSEADDR, 1);
  SetOption(socket, IPPROTO_TCP, TCP_NODELAY, 1);
  RETURN_IF_ERROR(Bind(socket, place));
  if (listen(socket.fd.get(), kBacklog) != 0) return BindError(place, errno);
  return std::move(socket.fd);
}

absl::StatusOr<UniqueFd> ReceiveDatagramsOn(const std::string& address, uint16_t port, const std::string& interface) {
  ASSIGN_OR_RETURN(const Place place, ParsePlace(SOCK_DGRAM, address, port));
  ASSIGN_OR_RETURN(UnboundSocket socket, MakeSocket(place, interface));
  // No SO_REUSEADDR: with it another program could take the port over while this one has it.
  SetOption(socket, SOL_SOCKET, SO_RCVBUF, kDatagramBuffer);
  SetOption(socket, SOL_SOCKET, SO_SNDBUF, kDatagramBuffer);
  if (socket.is_v4) {
    SetOption(socket, IPPROTO_IP, IP_PKTINFO, 1);
  } else {
    SetOption(socket, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);  // of IPv4 datagrams too, as mapped addresses
  }
  RETURN_IF_ERROR(Bind(socket, place));
  return std::move(socket.fd);
}

uint16_t LocalPort(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  return SockaddrPort(address);
}

}  // namespace trustline
