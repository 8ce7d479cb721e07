// Who is at the other end of a call, for the audit log.
#pragma once

#include <string_view>

namespace trustline {

// gRPC's text of a peer without the port, which is another one for each connection: "ipv4:192.0.2.1",
// "ipv6:%5B2001:db8::1%5D".
inline std::string_view PeerAddress(std::string_view peer) {
  return peer.starts_with("ipv4:") || peer.starts_with("ipv6:") ? peer.substr(0, peer.rfind(':')) : peer;
}

}  // namespace trustline
