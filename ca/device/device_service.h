// The gRPC service Devices (proto/device.proto).
#pragma once

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/postgres/pool.h"
#include "common/rpc/authorization.h"
#include "common/rpc/method_policy.h"
#include "proto/device.grpc.pb.h"

namespace trustline {

// Thread-safe. The references must outlive it.
class DeviceService final : public v1::Devices::Service {
 public:
  static absl::StatusOr<std::unique_ptr<DeviceService>> Create(Authorizer& authorizer, Pool& pool);

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
  DeviceService(Authorizer& authorizer, Pool& pool, Policies policies)
      : authorizer_(authorizer), pool_(pool), policies_(std::move(policies)) {}

  absl::Status AddOne(grpc::ServerContext& context, const v1::AddDeviceRequest& request,
                      v1::AddDeviceResponse& response);
  absl::Status ImportBatch(grpc::ServerContext& context, const v1::ImportDevicesRequest& request,
                           v1::ImportDevicesResponse& response);
  absl::Status ListPage(grpc::ServerContext& context, const v1::ListDevicesRequest& request,
                        v1::ListDevicesResponse& response);
  absl::Status ShowOne(grpc::ServerContext& context, const v1::ShowDeviceRequest& request,
                       v1::ShowDeviceResponse& response);
  absl::Status SetOne(grpc::ServerContext& context, const v1::SetDeviceRequest& request,
                      v1::SetDeviceResponse& response);
  absl::Status ReplaceOne(grpc::ServerContext& context, const v1::ReplaceDeviceRequest& request,
                          v1::ReplaceDeviceResponse& response);
  absl::Status RetireOne(grpc::ServerContext& context, const v1::RetireDeviceRequest& request,
                         v1::RetireDeviceResponse& response);
  absl::Status RemoveOne(grpc::ServerContext& context, const v1::RemoveDeviceRequest& request);

  Authorizer& authorizer_;
  Pool& pool_;
  const Policies policies_;
};

}  // namespace trustline
