// The gRPC service Audit (proto/audit.proto).
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/postgres/pool.h"
#include "common/rpc/authorization.h"
#include "common/rpc/method_policy.h"
#include "proto/audit.grpc.pb.h"

namespace trustline {

// Thread-safe. The references must outlive it. One verification runs at a time: each reads the whole log in one
// transaction.
class AuditService final : public v1::Audit::Service {
 public:
  static absl::StatusOr<std::unique_ptr<AuditService>> Create(Authorizer& authorizer, Pool& pool,
                                                              std::string seal_file);

  grpc::Status List(grpc::ServerContext* context, const v1::ListAuditRequest* request,
                    grpc::ServerWriter<v1::AuditEvent>* writer) override;
  grpc::Status Verify(grpc::ServerContext* context, const v1::VerifyAuditRequest* request,
                      grpc::ServerWriter<v1::VerifyAuditResponse>* writer) override;

 private:
  AuditService(Authorizer& authorizer, Pool& pool, std::string seal_file, MethodPolicy list, MethodPolicy verify)
      : authorizer_(authorizer),
        pool_(pool),
        seal_file_(std::move(seal_file)),
        list_(std::move(list)),
        verify_(std::move(verify)) {}

  absl::Status ListEvents(grpc::ServerContext& context, const v1::ListAuditRequest& request,
                          grpc::ServerWriter<v1::AuditEvent>& writer);
  absl::Status VerifyChain(grpc::ServerContext& context, const v1::VerifyAuditRequest& request,
                           grpc::ServerWriter<v1::VerifyAuditResponse>& writer);

  Authorizer& authorizer_;
  Pool& pool_;
  const std::string seal_file_;
  const MethodPolicy list_;
  const MethodPolicy verify_;
  std::atomic<bool> verifying_ = false;
};

}  // namespace trustline
