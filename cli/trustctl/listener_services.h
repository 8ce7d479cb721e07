// Which daemon has a listener: several have some, each serves them by itself.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/trustctl/environment.h"
#include "common/x509/certificate.h"
#include "proto/listener.grpc.pb.h"

namespace trustline {

// Those of tvsd, capfd and provisiond that the context names; FailedPrecondition when it names none.
absl::StatusOr<std::vector<std::string_view>> ListenerServices(Environment& environment);

// The daemon that has the listener of this name or port; with an empty one the only daemon that has any. NotFound or
// InvalidArgument, with the listeners that there are, for none or several. A daemon that cannot be asked is an error
// unless another one has the listener.
absl::StatusOr<Client<v1::Listeners>> ConnectToListener(Environment& environment, const std::string& listener);

// What is to be known before a plan waits for a listener to present the certificate: that none of the cluster's with
// the role has, among those that the context names, the key of it. Empty when one has, or none can be asked.
std::string KeyAdvice(Environment& environment, v1::CertificateRole role, const Certificate& certificate);

}  // namespace trustline
