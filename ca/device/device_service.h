// The gRPC service Devices (proto/device.proto).
#pragma once

#include <memory>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/postgres/pool.h"
#include "common/rpc/authorization.h"
#include "common/rpc/method_policy.h"
#include "common/service/audit.h"
#include "proto/device.grpc.pb.h"

namespace trustline {

// Thread-safe. The references must outlive it; `audit` takes the changes that are refused.
class DeviceService final : public v1::Devices::Service {
 public:
  static absl::StatusOr<std::unique_ptr<DeviceService>> Create(Authorizer& authorizer, Pool& pool, AuditQueue& audit);

  grpc::Status AddDevice(grpc::ServerContext* context, const v1::AddDeviceRequest* request,
                         v1::AddDeviceResponse* response) override;
  grpc::Status ImportDevices(grpc::ServerContext* context, const v1::ImportDevicesRequest* request,
                             v1::ImportDevicesResponse* response) override;
  grpc::Status ListDevices(grpc::ServerContext* context, const v1::ListDevicesRequest* request,
                           v1::ListDevicesResponse* response) override;
  grpc::Status ShowDevice(grpc::ServerContext* context, const v1::ShowDeviceRequest* request,
                          v1::ShowDeviceResponse* response) override;
  grpc::Status SetDevice(grpc::ServerContext* context, const v1::SetDeviceRequest* request,
                         v1::SetDeviceResponse* response) override;
  grpc::Status ReplaceDevice(grpc::ServerContext* context, const v1::ReplaceDeviceRequest* request,
                             v1::ReplaceDeviceResponse* response) override;
  grpc::Status RetireDevice(grpc::ServerContext* context, const v1::RetireDeviceRequest* request,
                            v1::RetireDeviceResponse* response) override;
  grpc::Status RemoveDevice(grpc::ServerContext* context, const v1::RemoveDeviceRequest* request,
                            v1::RemoveDeviceResponse* response) override;

 private:
  struct Policies {
    MethodPolicy add, import, list, show, set, replace, retire, remove;
  };
  DeviceService(Authorizer& authorizer, Pool& pool, AuditQueue& audit, Policies policies)
      : authorizer_(authorizer), pool_(pool), audit_(audit), policies_(std::move(policies)) {}

  // Runs `body` for the caller when the policy admits it.
  template <typename Request, typename Body>
  grpc::Status Serve(const grpc::ServerContext& context, const MethodPolicy& policy, const Request& request, Body body);
  // The same for what changes something: a refusal by `body` is audited as a denied `action` on `device`, or on the
  // cluster when that is empty.
  template <typename Request, typename Body>
  grpc::Status Change(const grpc::ServerContext& context, const MethodPolicy& policy, std::string_view action,
                      std::string_view device, const Request& request, Body body);

  absl::Status AddOne(const Caller& caller, const v1::AddDeviceRequest& request, v1::AddDeviceResponse& response);
  absl::Status ImportBatch(const Caller& caller, const v1::ImportDevicesRequest& request,
                           v1::ImportDevicesResponse& response);
  absl::Status ListPage(const Caller& caller, const v1::ListDevicesRequest& request, v1::ListDevicesResponse& response);
  absl::Status ShowOne(const Caller& caller, const v1::ShowDeviceRequest& request, v1::ShowDeviceResponse& response);
  absl::Status SetOne(const Caller& caller, const v1::SetDeviceRequest& request, v1::SetDeviceResponse& response);
  absl::Status ReplaceOne(const Caller& caller, const v1::ReplaceDeviceRequest& request,
                          v1::ReplaceDeviceResponse& response);
  absl::Status RetireOne(const Caller& caller, const v1::RetireDeviceRequest& request,
                         v1::RetireDeviceResponse& response);
  absl::Status RemoveOne(const Caller& caller, const v1::RemoveDeviceRequest& request);

  Authorizer& authorizer_;
  Pool& pool_;
  AuditQueue& audit_;
  const Policies policies_;
};

}  // namespace trustline
