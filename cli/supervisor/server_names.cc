#include "cli/supervisor/server_names.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>

#include <algorithm>
#include <memory>
#include <string_view>

#include "cli/supervisor/service_call.h"
#include "common/rpc/identity.h"
#include "common/status/status.h"
#include "proto/phone_trust.grpc.pb.h"

namespace trustline {
namespace {

constexpr size_t kMostNames = 100;

// As DNS or the hosts file has it; `host` itself when neither does.
std::string CanonicalName(const std::string& host) {
  addrinfo hints = {};
  hints.ai_flags = AI_CANONNAME;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return host;
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, freeaddrinfo);
  return found->ai_canonname == nullptr ? host : found->ai_canonname;
}

// Empty for what is no address that phones could name.
std::string AddressText(const sockaddr& address) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address.sa_family == AF_INET) {
    const in_addr& v4 = reinterpret_cast<const sockaddr_in&>(address).sin_addr;
    const bool is_link_local = (ntohl(v4.s_addr) & 0xffff0000) == 0xa9fe0000;  // 169.254.0.0/16, RFC 3927
    return is_link_local ? "" : inet_ntop(AF_INET, &v4, text, sizeof(text));
  }
  if (address.sa_family == AF_INET6) {
    const in6_addr& v6 = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
    return IN6_IS_ADDR_LINKLOCAL(&v6) ? "" : inet_ntop(AF_INET6, &v6, text, sizeof(text));
  }
  return "";
}

}  // namespace

std::vector<std::string> MachineNames(const std::string& host) {
  std::vector<std::string> names;
  const auto add = [&names](std::string name) {
    std::ranges::transform(name, name.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c; });
    if (!name.empty() && names.size() < kMostNames && std::ranges::find(names, name) == names.end()) {
      names.push_back(std::move(name));
    }
  };
  for (const std::string& name :
       {host, CanonicalName(host), std::string("localhost"), std::string("127.0.0.1"), std::string("::1")}) {
    add(name);
  }
  ifaddrs* found = nullptr;
  if (getifaddrs(&found) != 0) return names;
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owner(found, freeifaddrs);
  for (const ifaddrs* each = found; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr != nullptr && (each->ifa_flags & IFF_UP) != 0) add(AddressText(*each->ifa_addr));
  }
  return names;
}

absl::Status EnsureServerNames(const std::string& server, const std::vector<std::string>& names,
                               const std::string& itld, const IdentityFiles& administrator) {
  using Client = ServiceClient<v1::PhoneTrust>;
  ASSIGN_OR_RETURN(const Client client, Client::Open("itld", itld, administrator));
  v1::ListServerNamesRequest list;
  list.set_cluster(std::string(kSystemCluster));
  v1::ListServerNamesResponse known;
  grpc::ClientContext context;
  Client::SetDeadline(context);
  const grpc::Status status = client.stub().ListServerNames(&context, list, &known);
  // One without reports needs no names.
  if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED) return absl::OkStatus();
  RETURN_IF_ERROR(client.End(status));
  const auto found = std::ranges::find(known.servers(), server, &v1::ListServerNamesResponse::Server::tftp_server);
  if (found == known.servers().end() || !found->names().empty()) return absl::OkStatus();
  v1::ChangeServerNamesRequest change;
  change.set_cluster(std::string(kSystemCluster));
  change.set_tftp_server(server);
  for (const std::string& name : names) change.add_add(name);
  return client.Call(&v1::PhoneTrust::Stub::ChangeServerNames, change).status();
}

}  // namespace trustline
