// Renews a daemon's own identity at two thirds of its life.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/service/clock.h"
#include "common/service/identity_files.h"
#include "common/service/log.h"
#include "common/service/metrics.h"
#include "common/x509/certificate.h"
#include "common/x509/certificate_request.h"

namespace trustline {

// Gets the request signed: over gRPC, or by the authority that the process itself holds.
using IdentitySigner = std::function<absl::StatusOr<Certificate>(const CertificateRequest& request)>;

// Node.RenewIdentity of the itld at `address`, with the identity in `files`.
IdentitySigner RenewThroughService(std::string address, IdentityFiles files);

struct IdentityRenewalOptions {
  IdentityFiles files;
  // After a failure: the first wait, doubled up to the last. Between looks at the clock: at most `longest_wait`.
  absl::Duration first_retry = absl::Seconds(10);
  absl::Duration longest_wait = absl::Hours(1);
};

// A thread that makes a new key, has it signed and writes both files whole (WriteIdentity); credentials take them from
// there. Metrics: trustline_identity_expiry_seconds (Unix time), trustline_identity_renewals_total{outcome}.
class IdentityRenewal {
 public:
  IdentityRenewal(IdentityRenewalOptions options, IdentitySigner signer, const Clock& clock, Log& log,
                  Metrics& metrics);
  ~IdentityRenewal();

  void Start();
  void Stop();

  // One renewal now, whatever the age. FailedPrecondition when the certificate that came back is not for the new key,
  // the same identity and the same authority.
  absl::Status RenewNow();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace trustline
