// The gRPC server of a daemon: its services, reflection, the standard health service, and bounds.
#pragma once

#include <grpcpp/server.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/rpc/credentials.h"
#include "common/rpc/identity_gate.h"
#include "common/service/health.h"
#include "common/service/identity_files.h"
#include "common/service/log.h"

namespace trustline {

struct RpcServerOptions {
  std::string address = "127.0.0.1";
  uint16_t port = 0;  // 0: a free one
  IdentityFiles identity;
  ClientCertificate client_certificate = ClientCertificate::kRequired;
  int max_threads = 64;
  Log* log = nullptr;  // takes gRPC's own messages while the server exists (GRPC_MESSAGE); null: nobody does
  IdentityGate::OnRefused on_no_identity;  // told of callers that IdentityGate refuses
};

class RpcServer {
 public:
  // Listens when it returns OK. `services` (generated Service or CallbackService) and `health` must outlive the server.
  // Messages of at most kMaxMessageSize. Where client certificates are optional, callers without an identity reach only
  // the methods that admit anyone (common/rpc/identity_gate.h).
  static absl::StatusOr<std::unique_ptr<RpcServer>> Start(const RpcServerOptions& options,
                                                          const std::vector<grpc::Service*>& services, Health& health);
  // Shuts down without patience when that was not done before.
  ~RpcServer();

  uint16_t port() const;

  // No new calls; running ones have until `patience` is over. Idempotent.
  void Shutdown(absl::Duration patience = absl::Seconds(5));

 private:
  class Impl;
  explicit RpcServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace trustline
