// Clients of the system's gRPC services.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/support/status.h>

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/service/identity_files.h"

namespace trustline {

// Requests and answers up to this size (a CRL of 16 MB, a batch of certificates).
inline constexpr int kMaxMessageSize = 32 * 1024 * 1024;

// A channel to the service of kind `service_kind` ("tvsd", "itld") at "host:port", connected at its first use. Errors
// are those of the files.
absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(const std::string& address, const IdentityFiles& files,
                                                           std::string_view service_kind);

// Codes of gRPC and Abseil are the same numbers; a code outside of them becomes UNKNOWN.
absl::Status ToAbsl(const grpc::Status& status);
grpc::Status ToGrpc(const absl::Status& status);

// As ToAbsl, but a service that could not be reached is named with what to look at: "itld at 127.0.0.1:9442 does not
// answer: is it running? ...".
absl::Status ToAbsl(const grpc::Status& status, std::string_view service_kind, std::string_view address);

}  // namespace trustline
