// The gRPC service Audit (proto/audit.proto).
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/postgres/pool.h"
#include "common/rpc/authorization.h"
#include "common/rpc/identity_authority.h"
#include "common/rpc/method_policy.h"
#include "proto/audit.grpc.pb.h"

namespace trustline {

// Thread-safe. The references must outlive it. One verification or retirement runs at a time: each reads much of the
// log in one transaction. `retire_pool` has connections whose statements may take minutes.
class AuditService final : public v1::Audit::Service {
 public:
  static absl::StatusOr<std::unique_ptr<AuditService>> Create(Authorizer& authorizer, Pool& pool, Pool& retire_pool,
                                                              const IdentityAuthority& authority,
                                                              std::string seal_file);

  grpc::Status List(grpc::ServerContext* context, const v1::ListAuditRequest* request,
                    grpc::ServerWriter<v1::AuditEvent>* writer) override;
  grpc::Status Verify(grpc::ServerContext* context, const v1::VerifyAuditRequest* request,
                      grpc::ServerWriter<v1::VerifyAuditResponse>* writer) override;
  grpc::Status Retire(grpc::ServerContext* context, const v1::RetireAuditRequest* request,
                      grpc::ServerWriter<v1::RetireAuditResponse>* writer) override;

 private:
  struct Policies {
    MethodPolicy list, verify, retire;
  };
  AuditService(Authorizer& authorizer, Pool& pool, Pool& retire_pool, const IdentityAuthority& authority,
               std::string seal_file, Policies policies)
      : authorizer_(authorizer),
        pool_(pool),
        retire_pool_(retire_pool),
        authority_(authority),
        seal_file_(std::move(seal_file)),
        policies_(std::move(policies)) {}

  absl::Status ListEvents(grpc::ServerContext& context, const v1::ListAuditRequest& request,
                          grpc::ServerWriter<v1::AuditEvent>& writer);
  absl::Status VerifyChain(grpc::ServerContext& context, const v1::VerifyAuditRequest& request,
                           grpc::ServerWriter<v1::VerifyAuditResponse>& writer);
  absl::Status RetireMonths(grpc::ServerContext& context, const v1::RetireAuditRequest& request,
                            grpc::ServerWriter<v1::RetireAuditResponse>& writer);

  Authorizer& authorizer_;
  Pool& pool_;
  Pool& retire_pool_;
  const IdentityAuthority& authority_;
  const std::string seal_file_;
  const Policies policies_;
  std::atomic<bool> reading_all_ = false;
};

}  // namespace trustline
