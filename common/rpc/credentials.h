// gRPC credentials: mutual TLS 1.3 with identities of the system's own authority. Renewed files are taken within
// kIdentityReload without a restart.
#pragma once

#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/service/identity_files.h"

namespace trustline {

inline constexpr absl::Duration kIdentityReload = absl::Seconds(1);

enum class ClientCertificate : uint8_t {
  kRequired,
  kOptional,  // for a service that others join: its methods must refuse callers without one (Authorizer does)
};

// Leaves gRPC of this process no cipher suite of TLS 1.2: gRPC 1.51 has no call for a minimum version, only the
// environment variable GRPC_SSL_CIPHER_SUITES, which it reads once. The functions below call it; a program with threads
// that read the environment calls it first. FailedPrecondition when the variable is set to something else.
absl::Status RequireTls13();

// Checks the files first (LoadIdentity), so that a mistake is an error here and not at the first handshake.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(const IdentityFiles& files,
                                                                               ClientCertificate client_certificate);

// For connections to services of the kind `service_kind` ("itld"): any host name is fine, another kind is not. Without
// an identity (files.certificate empty) the client shows none.
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeChannelCredentials(const IdentityFiles& files,
                                                                                 std::string_view service_kind);

}  // namespace trustline
