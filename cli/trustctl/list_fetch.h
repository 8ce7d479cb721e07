// Trust lists as the TFTP or HTTP server of another system hands them out to phones. Only reads there.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "itl/trust_list/reader.h"

namespace trustline {

struct ListSource {
  std::string host;  // a name, or an address without brackets
  bool http = false;
  uint16_t port = 0;  // 0: 69 for TFTP, and 6970, where call managers serve the same files, for HTTP

  // "tftp://192.0.2.10:69/ITLFile.tlv".
  std::string Url(std::string_view file_name) const;
};

struct FetchLimits {
  // A little more than phones load, so that a list that is too large for them can still be looked at.
  size_t most_bytes = kMaxTrustListSize + 8 * 1024;
  absl::Duration connect = absl::Seconds(12);  // until the first answer; TFTP asks again every 4 s or so
  absl::Duration whole = absl::Seconds(60);
};

// The file's bytes. NotFound when the server answers that it has none of this name; InvalidArgument when it is larger
// than the limit (no more of it is read) or the host is no host; FailedPrecondition for a redirection, which is not
// followed, and any other answer that is no file; Unavailable and DeadlineExceeded when there is no whole answer.
absl::StatusOr<std::string> FetchListFile(const ListSource& source, std::string_view file_name,
                                          const FetchLimits& limits = {});

}  // namespace trustline
