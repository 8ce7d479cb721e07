#include "common/net/ip_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "common/status/status.h"

namespace trustline {
namespace {

constexpr std::array<uint8_t, 12> kV4MappedPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

std::array<uint8_t, 16> MapV4(const in_addr& address) {
  std::array<uint8_t, 16> bytes;
  std::memcpy(bytes.data(), kV4MappedPrefix.data(), kV4MappedPrefix.size());
  std::memcpy(bytes.data() + kV4MappedPrefix.size(), &address, sizeof(address));
  return bytes;
}

}  // namespace

absl::StatusOr<IpAddress> IpAddress::Parse(std::string_view text) {
  const std::string terminated(text);
  IpAddress result;
  in_addr v4;
  if (inet_pton(AF_INET, terminated.c_str(), &v4) == 1) {
    result.bytes_ = MapV4(v4);
    return result;
  }
  if (inet_pton(AF_INET6, terminated.c_str(), result.bytes_.data()) == 1) return result;
  return InvalidArgument("\"{}\" is not an IPv4 or IPv6 address", text);
}

IpAddress IpAddress::FromSockaddr(const sockaddr_storage& address) {
  IpAddress result;
  if (address.ss_family == AF_INET) {
    result.bytes_ = MapV4(reinterpret_cast<const sockaddr_in&>(address).sin_addr);
  } else if (address.ss_family == AF_INET6) {
    std::memcpy(result.bytes_.data(), &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr, result.bytes_.size());
  }
  return result;
}

bool IpAddress::is_v4() const {
  return std::memcmp(bytes_.data(), kV4MappedPrefix.data(), kV4MappedPrefix.size()) == 0;
}

std::string IpAddress::ToText() const {
  char text[INET6_ADDRSTRLEN];
  if (is_v4()) {
    inet_ntop(AF_INET, bytes_.data() + kV4MappedPrefix.size(), text, sizeof(text));
  } else {
    inet_ntop(AF_INET6, bytes_.data(), text, sizeof(text));
  }
  return text;
}

IpAddress IpAddress::HostPrefix() const {
  IpAddress prefix = *this;
  if (!is_v4()) std::fill(prefix.bytes_.begin() + 8, prefix.bytes_.end(), uint8_t{0});
  return prefix;
}

uint16_t SockaddrPort(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
  return ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
}

bool IsHost(std::string_view text) {
  constexpr size_t kMaxHostNameSize = 253;  // RFC 1035, 2.3.4: 255 octets on the wire
  if (text.empty() || text.size() > kMaxHostNameSize) return false;
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
  };
  if (std::ranges::all_of(text, plain)) return true;
  return std::ranges::all_of(text, [&](char c) { return plain(c) || c == ':'; }) && IpAddress::Parse(text).ok();
}

std::string EndpointText(std::string_view address, uint16_t port) {
  const bool is_v6 = address.find(':') != std::string_view::npos;
  return is_v6 ? fmt::format("[{}]:{}", address, port) : fmt::format("{}:{}", address, port);
}

absl::StatusOr<IpNetwork> IpNetwork::Parse(std::string_view text) {
  const size_t slash = text.find('/');
  IpNetwork network;
  ASSIGN_OR_RETURN(network.first_, IpAddress::Parse(text.substr(0, slash)));
  const int offset = network.first_.is_v4() ? 96 : 0;
  if (slash != std::string_view::npos) {
    const std::string_view digits = text.substr(slash + 1);
    int length = -1;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
    if (error != std::errc() || end != digits.data() + digits.size() || length < 0 || length > 128 - offset) {
      return InvalidArgument("\"{}\" is not a network: the prefix length must be 0 to {}", text, 128 - offset);
    }
    network.prefix_length_ = offset + length;
  }
  for (int bit = network.prefix_length_; bit < 128; ++bit) {
    if (network.first_.bytes()[bit / 8] >> (7 - bit % 8) & 1) {
      return InvalidArgument("\"{}\" is not a network: there are address bits after its prefix", text);
    }
  }
  return network;
}

bool IpNetwork::Contains(const IpAddress& address) const {
  const int whole = prefix_length_ / 8;
  if (std::memcmp(first_.bytes().data(), address.bytes().data(), whole) != 0) return false;
  const int rest = prefix_length_ % 8;
  return rest == 0 || (first_.bytes()[whole] ^ address.bytes()[whole]) >> (8 - rest) == 0;
}

}  // namespace trustline
