#include "cli/trustctl/listener_services.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "common/bytes/bytes.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr std::array<std::string_view, 3> kDaemons = {kTvsd, kCapfd, kProvisiond};

// As the daemons find it: "2445" names "[::]:2445" and "[::]:2445%eth0" too.
bool IsCalled(const v1::ListenerInfo& listener, std::string_view wanted) {
  const std::string_view name = listener.name();
  if (wanted.empty() || name == wanted) return true;
  const size_t colon = name.rfind(':');
  if (colon == std::string_view::npos) return false;
  const std::string_view port = name.substr(colon + 1);
  return port.substr(0, port.find('%')) == wanted;
}

}  // namespace

absl::StatusOr<std::vector<std::string_view>> ListenerServices(Environment& environment) {
  ASSIGN_OR_RETURN(const Context* context, environment.context());
  std::vector<std::string_view> named;
  for (const std::string_view daemon : kDaemons) {
    if (context->services.contains(std::string(daemon))) named.push_back(daemon);
  }
  if (named.empty()) return ServiceAddress(*context, kTvsd).status();
  return named;
}

absl::StatusOr<Client<v1::Listeners>> ConnectToListener(Environment& environment, const std::string& listener) {
  ASSIGN_OR_RETURN(const std::vector<std::string_view> services, ListenerServices(environment));
  // One alone finds it itself.
  if (services.size() == 1) return environment.Connect<v1::Listeners>(services.front());
  std::vector<Client<v1::Listeners>> found;
  std::vector<std::string> all;
  absl::Status away;
  for (const std::string_view service : services) {
    ASSIGN_OR_RETURN(Client<v1::Listeners> client, environment.Connect<v1::Listeners>(service));
    const absl::StatusOr<v1::ListListenersResponse> response =
        environment.Ask(client, &v1::Listeners::Stub::ListListeners, v1::ListListenersRequest());
    if (!response.ok()) {
      if (environment.interrupt().requested()) return response.status();
      away.Update(response.status());
      continue;
    }
    bool has_it = false;
    for (const v1::ListenerInfo& known : response->listeners()) {
      all.push_back(fmt::format("{} ({})", known.name(), service));
      has_it = has_it || IsCalled(known, listener);
    }
    if (has_it) found.push_back(std::move(client));
  }
  // Without a name the other daemon's may be meant.
  if (!away.ok() && (found.empty() || listener.empty())) return away;
  if (found.size() == 1) return std::move(found.front());
  if (found.empty()) {
    return listener.empty() ? NotFound("there are no listeners")
                            : NotFound("there is no listener '{}', but there are: {}", listener, fmt::join(all, ", "));
  }
  if (listener.empty()) {
    return InvalidArgument("say which listener, with --listener: {}", fmt::join(all, ", "));
  }
  return InvalidArgument(
      "'{}' is a listener of both {} and {}: give its whole name, or a context that names one of them alone; there "
      "are: "
      "{}",
      listener, found[0].service, found[1].service, fmt::join(all, ", "));
}

std::string KeyAdvice(Environment& environment, v1::CertificateRole role, const Certificate& certificate) {
  const absl::StatusOr<std::string> cluster = environment.cluster();
  const absl::StatusOr<std::vector<std::string_view>> services = ListenerServices(environment);
  if (!cluster.ok() || !services.ok()) return "";
  std::vector<std::string> asked;
  for (const std::string_view service : *services) {
    absl::StatusOr<Client<v1::Listeners>> client = environment.Connect<v1::Listeners>(service);
    if (!client.ok()) continue;
    const absl::StatusOr<v1::ListListenersResponse> response =
        environment.Ask(*client, &v1::Listeners::Stub::ListListeners, v1::ListListenersRequest());
    if (!response.ok()) continue;
    for (const v1::ListenerInfo& listener : response->listeners()) {
      if (listener.role() != role || listener.cluster() != *cluster) continue;
      asked.push_back(fmt::format("{} ({})", listener.name(), service));
      if (listener.requested_key_sha256() == AsText(certificate.public_key_sha256()) ||
          listener.certificate().sha256() == AsText(certificate.sha256())) {
        return "";
      }
    }
  }
  if (asked.empty()) return "";
  return fmt::format(
      "no key that waits for its certificate fits {}, of the listeners that this context names: {}. Unless it is for "
      "another machine, the plan would wait for ever: `trustctl listener renew` or `csr` makes the key first",
      certificate.subject().ToText(), fmt::join(asked, ", "));
}

}  // namespace trustline
