#include "provisioning/forwarders.h"

#include <algorithm>
#include <charconv>

namespace trustline {
namespace {

// Of the 16-byte form; `name` is a network that IpNetwork has read.
int PrefixLength(std::string_view name) {
  const size_t slash = name.find('/');
  int length = 128;
  if (slash == std::string_view::npos) return length;
  std::from_chars(name.data() + slash + 1, name.data() + name.size(), length);
  const absl::StatusOr<IpAddress> address = IpAddress::Parse(name.substr(0, slash));
  return address.ok() && address->is_v4() ? length + 96 : length;
}

}  // namespace

Forwarders::Forwarders(std::vector<Forwarder> all, bool accept_claims) : accept_claims_(accept_claims) {
  for (Forwarder& forwarder : all) {
    if (!forwarder.is_network) {
      by_common_name_.push_back(std::move(forwarder));
      continue;
    }
    const absl::StatusOr<IpNetwork> network = IpNetwork::Parse(forwarder.name);
    if (!network.ok()) continue;
    const int prefix_length = PrefixLength(forwarder.name);
    networks_.push_back({.network = *network, .prefix_length = prefix_length, .forwarder = std::move(forwarder)});
  }
  std::ranges::stable_sort(networks_, std::greater<>(), &Network::prefix_length);
}

const Forwarder* Forwarders::AtAddress(const IpAddress& address, SipTransport transport) const {
  for (const Network& network : networks_) {
    if (!network.network.Contains(address)) continue;
    // The most specific one decides, also when a wider network would allow more.
    return transport == SipTransport::kUdp && !network.forwarder.udp ? nullptr : &network.forwarder;
  }
  return nullptr;
}

const Forwarder* Forwarders::OfCertificate(std::string_view common_name) const {
  if (common_name.empty()) return nullptr;
  const auto found = std::ranges::find(by_common_name_, common_name, &Forwarder::name);
  return found == by_common_name_.end() ? nullptr : &*found;
}

bool Forwarders::IsForwarder(const IpAddress& address) const {
  return std::ranges::any_of(networks_, [&](const Network& network) { return network.network.Contains(address); });
}

}  // namespace trustline
