// The gRPC service Resets (proto/reset.proto).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/postgres/pool.h"
#include "common/rpc/authorization.h"
#include "common/rpc/method_policy.h"
#include "common/service/clock.h"
#include "itl/reset/reset_hooks.h"
#include "itl/reset/reset_orders.h"
#include "proto/reset.grpc.pb.h"

namespace trustline {

struct ResetServiceParts {
  Authorizer& authorizer;
  Pool& pool;
  Pool& import_pool;  // its statements may take minutes: an order may choose a million phones
  const ResetHooks& hooks;
  const Clock& clock;
};

// Thread-safe. What the parts refer to must outlive it.
class ResetService final : public v1::Resets::Service {
 public:
  static absl::StatusOr<std::unique_ptr<ResetService>> Create(const ResetServiceParts& parts);

  grpc::Status StartReset(grpc::ServerContext* context, const v1::StartResetRequest* request,
                          v1::StartResetResponse* response) override;
  grpc::Status ListResets(grpc::ServerContext* context, const v1::ListResetsRequest* request,
                          v1::ListResetsResponse* response) override;
  grpc::Status ShowReset(grpc::ServerContext* context, const v1::ShowResetRequest* request,
                         v1::ShowResetResponse* response) override;
  grpc::Status ChangeReset(grpc::ServerContext* context, const v1::ChangeResetRequest* request,
                           v1::ChangeResetResponse* response) override;

 private:
  explicit ResetService(const ResetServiceParts& parts) : parts_(parts) {}

  absl::StatusOr<Caller> Admit(const grpc::ServerContext& context, const char* method,
                               const google::protobuf::Message& request);
  absl::StatusOr<v1::Reset> Start(const Caller& caller, const v1::StartResetRequest& request);
  absl::Status List(const Caller& caller, const v1::ListResetsRequest& request, v1::ListResetsResponse& response);
  absl::Status Show(const Caller& caller, const v1::ShowResetRequest& request, v1::ShowResetResponse& response);
  absl::StatusOr<v1::Reset> Change(const Caller& caller, const v1::ChangeResetRequest& request);

  const ResetServiceParts parts_;
  std::map<std::string, MethodPolicy, std::less<>> policies_;  // by method
};

}  // namespace trustline
