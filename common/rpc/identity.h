// Names of the parties on gRPC: URI SANs of the form trustline:<cluster>/<kind>/<name>.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace trustline {

inline constexpr std::string_view kPersonKind = "person";
// The cluster of people, and of services that work for every cluster; also where system-wide roles are granted.
inline constexpr std::string_view kSystemCluster = "default";

// A checked identity. Cluster: lower-case letters, digits and '-' (as the table `cluster` has it); kind: "person" or
// the name of a service of the system; name: letters, digits and ". _ @ -", at most 64.
struct Identity {
  std::string cluster;
  std::string kind;
  std::string name;

  // InvalidArgument for anything that Parse would not take.
  static absl::StatusOr<Identity> Create(std::string_view cluster, std::string_view kind, std::string_view name);
  static absl::StatusOr<Identity> Parse(std::string_view uri);
  std::string ToUri() const;
  bool is_person() const { return kind == kPersonKind; }

  bool operator==(const Identity&) const = default;
};

// tvsd, itld, cad, capfd, provisiond, dashboardd.
bool IsServiceKind(std::string_view kind);

}  // namespace trustline
