// What a certificate must fulfil before the trust store takes it in.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/bytes/bytes.h"
#include "common/x509/certificate.h"

namespace trustline {

struct AdmittedCertificate {
  Certificate certificate;
  std::vector<std::string> warnings;  // a sentence each, beginning with the source
};

// Parses and judges one certificate; `source` (a file's name and a position) begins every sentence. InvalidArgument for
// what is not DER, is too large, has NULs in names, a key that cannot be read, or has expired at `now`. Warnings: ends
// within 30 days, not valid yet, RSA under 2,048 bits, signed with SHA-1 or MD5, an anchor that is no CA.
absl::StatusOr<AdmittedCertificate> AdmitCertificate(ByteView der, std::string_view source, bool anchor,
                                                     absl::Time now);

}  // namespace trustline
