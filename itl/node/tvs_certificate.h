// What a machine's TVS certificate must be before phones are told to trust it.
#pragma once

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/x509/certificate.h"

namespace trustline {

// FailedPrecondition unless the certificate is self-signed, valid now, has a strong key, and the extensions that phones
// want of a server's certificate (docs/PROTOCOLS.md, trust lists): CA:TRUE, key usage with digitalSignature and
// keyCertSign, extended key usage with serverAuth.
absl::Status CheckTvsCertificate(const Certificate& certificate, absl::Time now);

}  // namespace trustline
