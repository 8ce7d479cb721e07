// Where a process keeps its identity for gRPC.
#pragma once

#include <string>

namespace trustline {

// Paths of PEM files. A client that has no identity yet (it is joining) leaves certificate and key empty.
struct IdentityFiles {
  std::string certificate;  // the identity, followed by the authority's certificate
  std::string key;
  std::string authority;
};

}  // namespace trustline
