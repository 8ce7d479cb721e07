#include "ca/device/device_service.h"

#include <optional>
#include <string>
#include <vector>

#include "ca/device/device_registry.h"
#include "common/device/device_name.h"
#include "common/postgres/transaction.h"
#include "common/rpc/channel.h"
#include "common/rpc/proto_time.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr int32_t kDefaultPageSize = 200;
constexpr int32_t kLargestPageSize = 1000;

AuthorityCaller OnBehalfOf(const Caller& caller) { return {caller.cluster_id, caller.cluster, caller.actor()}; }

DeviceData FromProto(const v1::DeviceData& data) {
  return {.model = data.model(),
          .protocol = data.protocol(),
          .load = data.load(),
          .site = data.site(),
          .owner = data.owner(),
          .description = data.description()};
}

v1::DeviceState ToProto(DeviceState state) {
  switch (state) {
    case DeviceState::kInService:
      return v1::DEVICE_STATE_IN_SERVICE;
    case DeviceState::kReplaced:
      return v1::DEVICE_STATE_REPLACED;
    case DeviceState::kRetired:
      return v1::DEVICE_STATE_RETIRED;
  }
  return v1::DEVICE_STATE_UNSPECIFIED;
}

absl::StatusOr<std::optional<DeviceState>> FromProto(v1::DeviceState state) {
  switch (state) {
    case v1::DEVICE_STATE_UNSPECIFIED:
      return std::nullopt;
    case v1::DEVICE_STATE_IN_SERVICE:
      return DeviceState::kInService;
    case v1::DEVICE_STATE_REPLACED:
      return DeviceState::kReplaced;
    case v1::DEVICE_STATE_RETIRED:
      return DeviceState::kRetired;
    default:
      return InvalidArgument("there is no state {} of devices: they are in service, replaced or retired",
                             static_cast<int>(state));
  }
}

v1::Device ToProto(const DeviceRecord& device) {
  v1::Device proto;
  proto.set_name(device.name);
  v1::DeviceData& data = *proto.mutable_data();
  data.set_model(device.data.model);
  data.set_protocol(device.data.protocol);
  data.set_load(device.data.load);
  data.set_site(device.data.site);
  data.set_owner(device.data.owner);
  data.set_description(device.data.description);
  proto.set_state(ToProto(device.state));
  proto.set_state_reason(device.state_reason);
  proto.set_replaced_by(device.replaced_by);
  proto.set_added_by(device.added_by);
  *proto.mutable_added_at() = ToProtoTime(device.added_at);
  *proto.mutable_changed_at() = ToProtoTime(device.changed_at);
  return proto;
}

DeviceChange ReadChange(const v1::SetDeviceRequest& request) {
  DeviceChange change;
  if (request.has_model()) change.model = request.model();
  if (request.has_protocol()) change.protocol = request.protocol();
  if (request.has_load()) change.load = request.load();
  if (request.has_site()) change.site = request.site();
  if (request.has_owner()) change.owner = request.owner();
  if (request.has_description()) change.description = request.description();
  return change;
}

absl::StatusOr<DeviceFilter> ReadFilter(const v1::ListDevicesRequest& request) {
  DeviceFilter filter{.model = request.model(), .site = request.site()};
  ASSIGN_OR_RETURN(filter.name_prefix, ParseDeviceNamePrefix(request.name_prefix()));
  ASSIGN_OR_RETURN(filter.state, FromProto(request.state()));
  return filter;
}

// A page token is the last name of the page before.
absl::StatusOr<std::string> ReadPageToken(const std::string& token) {
  if (token.empty()) return std::string();
  const absl::StatusOr<DeviceName> name = DeviceName::Parse(token);
  if (!name.ok()) return InvalidArgument("the page token is not one that a list has given: begin again without it");
  return name->text();
}

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceService>> DeviceService::Create(Authorizer& authorizer, Pool& pool) {
  const char* const service = v1::Devices::service_full_name();
  ASSIGN_OR_RETURN(MethodPolicy add, MethodPolicy::Find(service, "AddDevice"));
  ASSIGN_OR_RETURN(MethodPolicy import, MethodPolicy::Find(service, "ImportDevices"));
  ASSIGN_OR_RETURN(MethodPolicy list, MethodPolicy::Find(service, "ListDevices"));
  ASSIGN_OR_RETURN(MethodPolicy show, MethodPolicy::Find(service, "ShowDevice"));
  ASSIGN_OR_RETURN(MethodPolicy set, MethodPolicy::Find(service, "SetDevice"));
  ASSIGN_OR_RETURN(MethodPolicy replace, MethodPolicy::Find(service, "ReplaceDevice"));
  ASSIGN_OR_RETURN(MethodPolicy retire, MethodPolicy::Find(service, "RetireDevice"));
  ASSIGN_OR_RETURN(MethodPolicy remove, MethodPolicy::Find(service, "RemoveDevice"));
  return std::unique_ptr<DeviceService>(
      new DeviceService(authorizer, pool,
                        Policies{std::move(add), std::move(import), std::move(list), std::move(show), std::move(set),
                                 std::move(replace), std::move(retire), std::move(remove)}));
}

absl::Status DeviceService::AddOne(grpc::ServerContext& context, const v1::AddDeviceRequest& request,
                                   v1::AddDeviceResponse& response) {
  ASSIGN_OR_RETURN(const Caller caller, authorizer_.Authorize(context, policies_.add, request));
  ASSIGN_OR_RETURN(const DeviceName name, DeviceName::Parse(request.name()));
  ASSIGN_OR_RETURN(const DeviceRecord device, RunInTransaction(pool_, {}, [&](Connection& connection) {
                     return DeviceRegistry(connection, OnBehalfOf(caller)).Add(name, FromProto(request.data()));
                   }));
  *response.mutable_device() = ToProto(device);
  return absl::OkStatus();
}

absl::Status DeviceService::ImportBatch(grpc::ServerContext& context, const v1::ImportDevicesRequest& request,
                                        v1::ImportDevicesResponse& response) {
  ASSIGN_OR_RETURN(const Caller caller, authorizer_.Authorize(context, policies_.import, request));
  std::vector<DeviceRow> rows;
  for (const v1::ImportDevicesRequest::Row& row : request.rows()) rows.push_back({row.name(), FromProto(row.data())});
  ASSIGN_OR_RETURN(const DeviceImportResult result, RunInTransaction(pool_, {}, [&](Connection& connection) {
                     return DeviceRegistry(connection, OnBehalfOf(caller)).Import(rows);
                   }));
  response.set_added(result.added);
  response.set_changed(result.changed);
  response.set_unchanged(result.unchanged);
  for (const DeviceLeftAlone& device : result.left_alone) {
    v1::ImportDevicesResponse::LeftAlone& left_alone = *response.add_left_alone();
    left_alone.set_name(device.name);
    left_alone.set_reason(device.reason);
  }
  return absl::OkStatus();
}

absl::Status DeviceService::ListPage(grpc::ServerContext& context, const v1::ListDevicesRequest& request,
                                     v1::ListDevicesResponse& response) {
  ASSIGN_OR_RETURN(const Caller caller, authorizer_.Authorize(context, policies_.list, request));
  if (request.page_size() < 0 || request.page_size() > kLargestPageSize) {
    return InvalidArgument("a page has 1 to {} devices", kLargestPageSize);
  }
  const int32_t size = request.page_size() == 0 ? kDefaultPageSize : request.page_size();
  ASSIGN_OR_RETURN(const DeviceFilter filter, ReadFilter(request));
  ASSIGN_OR_RETURN(const std::string after, ReadPageToken(request.page_token()));
  ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
  ASSIGN_OR_RETURN(const DevicePage page, DeviceRegistry(*lease, OnBehalfOf(caller)).List(filter, after, size));
  for (const DeviceRecord& device : page.devices) *response.add_devices() = ToProto(device);
  if (page.more) response.set_next_page_token(page.devices.back().name);
  return absl::OkStatus();
}

absl::Status DeviceService::ShowOne(grpc::ServerContext& context, const v1::ShowDeviceRequest& request,
                                    v1::ShowDeviceResponse& response) {
  ASSIGN_OR_RETURN(const Caller caller, authorizer_.Authorize(context, policies_.show, request));
  ASSIGN_OR_RETURN(const DeviceName name, DeviceName::Parse(request.name()));
  ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
  ASSIGN_OR_RETURN(const DeviceRecord device, DeviceRegistry(*lease, OnBehalfOf(caller)).Find(name));
  *response.mutable_device() = ToProto(device);
  return absl::OkStatus();
}

absl::Status DeviceService::SetOne(grpc::ServerContext& context, const v1::SetDeviceRequest& request,
                                   v1::SetDeviceResponse& response) {
  ASSIGN_OR_RETURN(const Caller caller, authorizer_.Authorize(context, policies_.set, request));
  ASSIGN_OR_RETURN(const DeviceName name, DeviceName::Parse(request.name()));
  ASSIGN_OR_RETURN(const DeviceEdit edit, RunInTransaction(pool_, {}, [&](Connection& connection) {
                     return DeviceRegistry(connection, OnBehalfOf(caller)).Set(name, ReadChange(request));
                   }));
  response.set_changed(edit.changed);
  *response.mutable_device() = ToProto(edit.device);
  return absl::OkStatus();
}

absl::Status DeviceService::ReplaceOne(grpc::ServerContext& context, const v1::ReplaceDeviceRequest& request,
                                       v1::ReplaceDeviceResponse& response) {
  ASSIGN_OR_RETURN(const Caller caller, authorizer_.Authorize(context, policies_.replace, request));
  ASSIGN_OR_RETURN(const DeviceName old_name, DeviceName::Parse(request.old_name()));
  ASSIGN_OR_RETURN(const DeviceName new_name, DeviceName::Parse(request.new_name()));
  ASSIGN_OR_RETURN(const DeviceRemoval replacement, RunInTransaction(pool_, {}, [&](Connection& connection) {
                     return DeviceRegistry(connection, OnBehalfOf(caller)).Replace(old_name, new_name);
                   }));
  *response.mutable_device() = ToProto(replacement.device);
  response.set_revoked(replacement.revoked);
  return absl::OkStatus();
}

absl::Status DeviceService::RetireOne(grpc::ServerContext& context, const v1::RetireDeviceRequest& request,
                                      v1::RetireDeviceResponse& response) {
  ASSIGN_OR_RETURN(const Caller caller, authorizer_.Authorize(context, policies_.retire, request));
  ASSIGN_OR_RETURN(const DeviceName name, DeviceName::Parse(request.name()));
  ASSIGN_OR_RETURN(const DeviceRemoval retirement, RunInTransaction(pool_, {}, [&](Connection& connection) {
                     return DeviceRegistry(connection, OnBehalfOf(caller)).Retire(name, request.reason());
                   }));
  *response.mutable_device() = ToProto(retirement.device);
  response.set_revoked(retirement.revoked);
  return absl::OkStatus();
}

absl::Status DeviceService::RemoveOne(grpc::ServerContext& context, const v1::RemoveDeviceRequest& request) {
  ASSIGN_OR_RETURN(const Caller caller, authorizer_.Authorize(context, policies_.remove, request));
  ASSIGN_OR_RETURN(const DeviceName name, DeviceName::Parse(request.name()));
  return RunInTransaction(
      pool_, {}, [&](Connection& connection) { return DeviceRegistry(connection, OnBehalfOf(caller)).Remove(name); });
}

grpc::Status DeviceService::AddDevice(grpc::ServerContext* context, const v1::AddDeviceRequest* request,
                                      v1::AddDeviceResponse* response) {
  return ToGrpc(AddOne(*context, *request, *response));
}
grpc::Status DeviceService::ImportDevices(grpc::ServerContext* context, const v1::ImportDevicesRequest* request,
                                          v1::ImportDevicesResponse* response) {
  return ToGrpc(ImportBatch(*context, *request, *response));
}
grpc::Status DeviceService::ListDevices(grpc::ServerContext* context, const v1::ListDevicesRequest* request,
                                        v1::ListDevicesResponse* response) {
  return ToGrpc(ListPage(*context, *request, *response));
}
grpc::Status DeviceService::ShowDevice(grpc::ServerContext* context, const v1::ShowDeviceRequest* request,
                                       v1::ShowDeviceResponse* response) {
  return ToGrpc(ShowOne(*context, *request, *response));
}
grpc::Status DeviceService::SetDevice(grpc::ServerContext* context, const v1::SetDeviceRequest* request,
                                      v1::SetDeviceResponse* response) {
  return ToGrpc(SetOne(*context, *request, *response));
}
grpc::Status DeviceService::ReplaceDevice(grpc::ServerContext* context, const v1::ReplaceDeviceRequest* request,
                                          v1::ReplaceDeviceResponse* response) {
  return ToGrpc(ReplaceOne(*context, *request, *response));
}
grpc::Status DeviceService::RetireDevice(grpc::ServerContext* context, const v1::RetireDeviceRequest* request,
                                         v1::RetireDeviceResponse* response) {
  return ToGrpc(RetireOne(*context, *request, *response));
}
grpc::Status DeviceService::RemoveDevice(grpc::ServerContext* context, const v1::RemoveDeviceRequest* request,
                                         v1::RemoveDeviceResponse*) {
  return ToGrpc(RemoveOne(*context, *request));
}

}  // namespace trustline
