// The gRPC service ClusterTrust (proto/migration.proto).
#pragma once

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/postgres/pool.h"
#include "common/rpc/authorization.h"
#include "common/rpc/method_policy.h"
#include "common/service/clock.h"
#include "proto/migration.grpc.pb.h"

namespace trustline {

// Thread-safe. All must outlive it.
class ClusterTrustService final : public v1::ClusterTrust::Service {
 public:
  static absl::StatusOr<std::unique_ptr<ClusterTrustService>> Create(Authorizer& authorizer, Pool& pool,
                                                                     const Clock& clock);

  grpc::Status ExportTrust(grpc::ServerContext* context, const v1::ExportTrustRequest* request,
                           v1::ExportTrustResponse* response) override;
  grpc::Status ImportTrust(grpc::ServerContext* context, const v1::ImportTrustRequest* request,
                           v1::ImportTrustResponse* response) override;

 private:
  struct Policies {
    MethodPolicy export_trust, import_trust;
  };
  ClusterTrustService(Authorizer& authorizer, Pool& pool, const Clock& clock, Policies policies)
      : authorizer_(authorizer), pool_(pool), clock_(clock), policies_(std::move(policies)) {}

  absl::Status Export(const Caller& caller, v1::ExportTrustResponse& response);
  absl::Status Import(const Caller& caller, const v1::ImportTrustRequest& request, v1::ImportTrustResponse& response);

  Authorizer& authorizer_;
  Pool& pool_;
  const Clock& clock_;
  const Policies policies_;
};

}  // namespace trustline
