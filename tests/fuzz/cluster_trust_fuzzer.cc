// Another system's export, which an administrator imports: what is taken is bounded, has only certificates and roles
// that a move may bring, and is the same once written and read again.
#include <google/protobuf/stubs/logging.h>

#include <cstdlib>

#include "itl/move/cluster_trust.h"

using namespace trustline;

namespace {

// Else it writes a line for each text that is no UTF-8.
[[maybe_unused]] const auto kQuiet = google::protobuf::SetLogHandler(nullptr);

void Check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::StatusOr<ClusterTrust> trust =
      DecodeClusterTrust(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!trust.ok()) {
    Check(!trust.status().message().empty());
    return 0;
  }
  Check(size <= kLargestClusterTrust);
  for (const MovedCertificate& one : trust->certificates) Check(!one.roles.empty() && one.of.size() <= 200);
  for (const MovedServer& server : trust->servers) Check(!server.name.empty() && server.name.size() <= 63);
  const std::string written = EncodeClusterTrust(*trust);
  const absl::StatusOr<ClusterTrust> again = DecodeClusterTrust(written);
  Check(again.ok() && EncodeClusterTrust(*again) == written);
  return 0;
}
