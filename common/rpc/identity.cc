#include "common/rpc/identity.h"

#include <algorithm>
#include <array>

#include "common/status/status.h"

namespace trustline {
namespace {

constexpr std::string_view kScheme = "trustline:";
constexpr size_t kMaxName = 64;
constexpr size_t kMaxCluster = 63;
constexpr std::array<std::string_view, 6> kServiceKinds = {"tvsd", "itld", "cad", "capfd", "provisiond", "dashboardd"};

bool IsLowerOrDigit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

bool IsClusterName(std::string_view text) {
  return !text.empty() && text.size() <= kMaxCluster && text.front() != '-' && text.back() != '-' &&
         std::ranges::all_of(text, [](char c) { return IsLowerOrDigit(c) || c == '-'; });
}

bool IsPartyName(std::string_view text) {
  return !text.empty() && text.size() <= kMaxName && std::ranges::all_of(text, [](char c) {
    return IsLowerOrDigit(c) || (c >= 'A' && c <= 'Z') || c == '.' || c == '_' || c == '@' || c == '-';
  });
}

}  // namespace

bool IsServiceKind(std::string_view kind) { return std::ranges::find(kServiceKinds, kind) != kServiceKinds.end(); }

absl::StatusOr<Identity> Identity::Create(std::string_view cluster, std::string_view kind, std::string_view name) {
  if (!IsClusterName(cluster)) {
    return InvalidArgument("the cluster of an identity is 1 to 63 of a-z, 0-9 and '-', without '-' at either end");
  }
  if (kind != kPersonKind && !IsServiceKind(kind)) {
    return InvalidArgument("the kind of an identity is 'person' or a service of the system");
  }
  if (!IsPartyName(name)) {
    return InvalidArgument("the name of an identity is 1 to 64 of letters, digits, '.', '_', '@' and '-'");
  }
  return Identity{std::string(cluster), std::string(kind), std::string(name)};
}

absl::StatusOr<Identity> Identity::Parse(std::string_view uri) {
  const size_t first = uri.find('/');
  const size_t second = first == std::string_view::npos ? first : uri.find('/', first + 1);
  if (!uri.starts_with(kScheme) || first < kScheme.size() || second == std::string_view::npos) {
    return InvalidArgument("not an identity of the form trustline:<cluster>/<kind>/<name>");
  }
  return Create(uri.substr(kScheme.size(), first - kScheme.size()), uri.substr(first + 1, second - first - 1),
                uri.substr(second + 1));
}

std::string Identity::ToUri() const { return fmt::format("{}{}/{}/{}", kScheme, cluster, kind, name); }

}  // namespace trustline
