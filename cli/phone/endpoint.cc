#include "cli/phone/endpoint.h"

#include <charconv>

#include "common/status/status.h"

namespace trustline {

absl::StatusOr<Endpoint> ParseEndpoint(std::string_view text, uint16_t default_port) {
  std::string_view host = text;
  std::string_view port;
  bool has_port = false;
  if (text.starts_with('[')) {
    const size_t end = text.find(']');
    if (end == std::string_view::npos) return InvalidArgument("'{}' lacks the bracket after its address", text);
    host = text.substr(1, end - 1);
    const std::string_view rest = text.substr(end + 1);
    has_port = rest.starts_with(':');
    if (!rest.empty() && !has_port) return InvalidArgument("'{}' is not HOST:PORT", text);
    if (has_port) port = rest.substr(1);
  } else if (const size_t colon = text.find(':'); colon != std::string_view::npos && colon == text.rfind(':')) {
    has_port = true;
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
  }
  if (host.empty()) return InvalidArgument("'{}' has no host: write HOST:PORT", text);
  Endpoint endpoint{std::string(host), default_port};
  if (has_port) {
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), endpoint.port);
    if (error != std::errc() || end != port.data() + port.size() || endpoint.port == 0) {
      return InvalidArgument("'{}' has no port from 1 to 65535: write HOST:PORT", text);
    }
  }
  return endpoint;
}

}  // namespace trustline
