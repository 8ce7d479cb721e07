// Sockets on a local address, with errors that tell an administrator which address and what to do.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "common/posix/unique_fd.h"

namespace trustline {

// A non-blocking listening TCP socket. "::" is dual-stack, and IPv4 alone where the kernel has no IPv6; port 0 is any
// free one. `interface` binds it to a network interface or VRF device (SO_BINDTODEVICE), unless empty. TCP_NODELAY is
// set, and accepted sockets inherit it (tcp(7)).
absl::StatusOr<UniqueFd> ListenOn(const std::string& address, uint16_t port, const std::string& interface = "");

// A non-blocking UDP socket, its arguments as above. With each datagram comes the address that it was sent to
// (IPV6_PKTINFO, of an IPv4 socket IP_PKTINFO). Its buffers have room for a burst, as far as the system lets.
absl::StatusOr<UniqueFd> ReceiveDatagramsOn(const std::string& address, uint16_t port,
                                            const std::string& interface = "");

// The port a socket is bound to.
uint16_t LocalPort(int fd);

}  // namespace trustline
