#include "itl/question/presented_certificates.h"

#include <algorithm>
#include <set>

#include "common/bytes/bytes.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr int kMostPresented = 16;

}  // namespace

absl::StatusOr<std::vector<Sha256Digest>> ReadPresented(
    const google::protobuf::RepeatedPtrField<std::string>& sha256s) {
  if (sha256s.size() > kMostPresented) {
    return InvalidArgument("a node presents up to {} certificates to a cluster's phones, not {}", kMostPresented,
                           sha256s.size());
  }
  std::set<Sha256Digest> presented;
  for (const std::string& sha256 : sha256s) {
    Sha256Digest digest;
    if (sha256.size() != digest.size()) {
      return InvalidArgument("a certificate that is presented is named by its SHA-256: {} bytes, not {}", digest.size(),
                             sha256.size());
    }
    std::ranges::copy(AsBytes(sha256), digest.begin());
    presented.insert(digest);
  }
  return std::vector<Sha256Digest>(presented.begin(), presented.end());
}

}  // namespace trustline
