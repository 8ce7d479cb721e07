#include "ca/profile/public_url.h"

#include <algorithm>
#include <string_view>

#include "common/status/status.h"

namespace trustline {
namespace {

constexpr std::string_view kScheme = "http://";
constexpr size_t kMaxUrl = 200;

// The characters of a host, a port and a plain path (RFC 3986).
bool IsUrlCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("-._~:/[]%").find(c) != std::string_view::npos;
}

}  // namespace

absl::StatusOr<std::string> CheckPublicUrl(std::string url) {
  while (url.size() > kScheme.size() && url.back() == '/') url.pop_back();
  const size_t host = kScheme.size();
  if (url.starts_with("https://")) {
    return InvalidArgument(
        "{}: phones fetch CRLs without TLS, because checking its certificate would need a CRL first: write http://",
        url);
  }
  if (url.size() <= host || url.size() > kMaxUrl || !url.starts_with(kScheme) || url[host] == '/' || url[host] == ':' ||
      !std::ranges::all_of(url, IsUrlCharacter)) {
    return InvalidArgument("{}: that is not of the form http://HOST:PORT with at most {} characters", url, kMaxUrl);
  }
  return url;
}

}  // namespace trustline
