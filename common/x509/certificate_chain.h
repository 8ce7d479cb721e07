// A certificate and its issuers up to a self-signed one.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/x509/certificate.h"

namespace trustline {

// `certificate` names `issuer` as its issuer, and was signed with its key. True of a self-signed one and itself. Times
// and extensions are not looked at.
bool Issued(const Certificate& issuer, const Certificate& certificate);

// The issuers of `leaf` from `others`, nearest first, the self-signed one last; empty for a self-signed leaf.
// FailedPrecondition, naming the certificate, for a gap, an issuer that is no authority or ended before `now`, and a
// certificate that is not needed.
absl::StatusOr<std::vector<Certificate>> OrderChain(const Certificate& leaf, std::vector<Certificate> others,
                                                    absl::Time now);

}  // namespace trustline
