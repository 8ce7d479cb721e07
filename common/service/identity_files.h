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

// identity.crt, identity.key and authority.crt of a directory.
inline IdentityFiles IdentityFilesIn(const std::string& directory) {
  return {.certificate = directory + "/identity.crt",
          .key = directory + "/identity.key",
          .authority = directory + "/authority.crt"};
}

}  // namespace trustline
