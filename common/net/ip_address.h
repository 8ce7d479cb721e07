// IP addresses and networks of both versions in one form: an IPv4 address is its IPv4-mapped IPv6 address (RFC 4291,
// 2.5.5.2), as a dual-stack socket reports it.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace trustline {

class IpAddress {
 public:
  // "192.0.2.1" or "2001:db8::1", without brackets or zone.
  static absl::StatusOr<IpAddress> Parse(std::string_view text);
  // From accept(2) and its kin; families other than IPv4 and IPv6 give "::".
  static IpAddress FromSockaddr(const sockaddr_storage& address);

  bool is_v4() const;
  std::string ToText() const;  // IPv4 as "192.0.2.1"
  // The address as far as it tells hosts apart: an IPv4 address whole, the first 64 bits of an IPv6 address, since one
  // host has the rest to itself (RFC 4291, 2.5.4).
  IpAddress HostPrefix() const;
  const std::array<uint8_t, 16>& bytes() const { return bytes_; }

  friend bool operator==(const IpAddress&, const IpAddress&) = default;

  template <typename Hash>
  friend Hash AbslHashValue(Hash state, const IpAddress& address) {
    return Hash::combine(std::move(state), address.bytes_);
  }

 private:
  std::array<uint8_t, 16> bytes_{};
};

// Whether it may be a host: a name of letters, digits, '-' and '.', or an address without brackets or zone.
bool IsHost(std::string_view text);

// The port of an IPv4 or IPv6 socket address.
uint16_t SockaddrPort(const sockaddr_storage& address);

// "192.0.2.1:2445" or "[2001:db8::1]:2445".
std::string EndpointText(std::string_view address, uint16_t port);

class IpNetwork {
 public:
  // "192.0.2.0/24", "2001:db8::/32", or a single address. Bits after the prefix must be zero: a slip is refused.
  static absl::StatusOr<IpNetwork> Parse(std::string_view text);

  bool Contains(const IpAddress& address) const;

 private:
  IpAddress first_;
  int prefix_length_ = 128;  // Of the 16-byte form.
};

}  // namespace trustline
