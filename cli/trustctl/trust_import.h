// A bulk import into the trust store.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "cli/trustctl/certificate_input.h"
#include "cli/trustctl/environment.h"
#include "proto/trust_store.pb.h"

namespace trustline {

// Sends all certificates and waits for the result, with progress. All of them are taken or none; after Ctrl-C the error
// says which.
absl::StatusOr<v1::AddResponse::Result> ImportCertificates(Environment& environment,
                                                           const v1::AddRequest::Options& options,
                                                           const std::vector<InputCertificate>& certificates);

}  // namespace trustline
