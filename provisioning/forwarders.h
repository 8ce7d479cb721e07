// Whose word about phones is evidence: one cluster's named forwarders, as the administrators have them now.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/net/ip_address.h"

namespace trustline {

enum class SipTransport : uint8_t { kUdp, kTcp, kTls };

struct Forwarder {
  std::string name;  // as the administrator wrote it
  bool is_network = false;
  bool may_refer = false;
  bool may_register = false;
  bool may_options = false;
  bool udp = false;
};

// Immutable.
class Forwarders {
 public:
  // Names of networks that cannot be read are left out. `accept_claims`: alarms of anybody are kept as claims.
  Forwarders(std::vector<Forwarder> all, bool accept_claims);

  // The forwarder at this address, the one with the longest prefix when several networks contain it; null when there is
  // none, and over UDP when it may not use that. Valid as long as the object.
  const Forwarder* AtAddress(const IpAddress& address, SipTransport transport) const;
  // By the common name of a certificate that has a role in the trust store.
  const Forwarder* OfCertificate(std::string_view common_name) const;
  // Whether an address is a forwarder's over any transport: it has no cap of its own.
  bool IsForwarder(const IpAddress& address) const;
  bool accept_claims() const { return accept_claims_; }

 private:
  struct Network {
    IpNetwork network;
    int prefix_length = 0;
    Forwarder forwarder;
  };
  std::vector<Network> networks_;  // the longest prefix first
  std::vector<Forwarder> by_common_name_;
  const bool accept_claims_;
};

// The forwarders that are in force now.
class ForwarderSource {
 public:
  virtual ~ForwarderSource() = default;
  // Null before the first were read: then nothing can be decided. Thread-safe, never blocks.
  virtual std::shared_ptr<const Forwarders> Current() const = 0;
};

}  // namespace trustline
