// Who is at the other end of a call.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace trustline {

// gRPC's text of a peer without the port, which is another one for each connection: "ipv4:192.0.2.1",
// "ipv6:%5B2001:db8::1%5D". For the audit log.
inline std::string_view PeerAddress(std::string_view peer) {
  return peer.starts_with("ipv4:") || peer.starts_with("ipv6:") ? peer.substr(0, peer.rfind(':')) : peer;
}

// The address itself, "192.0.2.1" or "2001:db8::1"; nothing for a peer that does not come over IP.
inline std::optional<std::string> PeerHost(std::string_view peer) {
  constexpr std::string_view kOpen = "%5B";
  constexpr std::string_view kClose = "%5D";
  const std::string_view address = PeerAddress(peer);
  if (address.starts_with("ipv4:")) return std::string(address.substr(5));
  if (!address.starts_with("ipv6:")) return std::nullopt;
  std::string_view host = address.substr(5);
  if (host.starts_with(kOpen) && host.ends_with(kClose)) {
    host = host.substr(kOpen.size(), host.size() - kOpen.size() - kClose.size());
  } else if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  }
  return std::string(host);
}

}  // namespace trustline
