// How a machine that joins gets the certificate of the authority it is to trust.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/bytes/sha256.h"
#include "common/x509/certificate.h"

namespace trustline {

// The authority's certificate, which the service at `address` sends in its chain, when its SHA-256 is the one that was
// handed over with the token. For a machine that joins; PermissionDenied when no certificate fits.
absl::StatusOr<Certificate> FetchAuthority(const std::string& address, const Sha256Digest& sha256,
                                           absl::Duration timeout = absl::Seconds(10));

}  // namespace trustline
