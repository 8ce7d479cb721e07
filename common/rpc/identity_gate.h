// Keeps callers without an identity away from a server where client certificates are optional.
#pragma once

#include <grpcpp/security/auth_metadata_processor.h>

#include <functional>
#include <string_view>

namespace trustline {

// Asked before a call reaches a service and takes a thread. Without an identity of the system only methods of the
// system pass whose option `callers` admits anyone; all others, with those of health and reflection, are
// UNAUTHENTICATED.
class IdentityGate final : public grpc::AuthMetadataProcessor {
 public:
  // `on_refused` (may be empty) is told the method, "TrustStore.List", or "unknown method" for what is none of the
  // system's. It is called by several threads, and never blocks.
  using OnRefused = std::function<void(std::string_view method)>;
  explicit IdentityGate(OnRefused on_refused) : on_refused_(std::move(on_refused)) {}

  bool IsBlocking() const override { return false; }
  grpc::Status Process(const InputMetadata& metadata, grpc::AuthContext* context, OutputMetadata* consumed,
                       OutputMetadata* response) override;

 private:
  const OnRefused on_refused_;
};

}  // namespace trustline
