#include "ca/device/device_service.h"

#include <optional>
#include <string>
#include <vector>

#include "ca/device/device_registry.h"
#include "common/device/device_name.h"
#include "common/postgres/transaction.h"
#include "common/rpc/channel.h"
#include "common/rpc/proto_time.h"
#include "common/rpc/refusal.h"
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

// As the audit log names a device: as it does when the change is made, or as it was given when it is no name.
std::string Subject(std::string_view device) {
  const absl::StatusOr<DeviceName> name = DeviceName::Parse(device);
  return name.ok() ? name->text() : std::string(device);
}

// A page token is the last name of the page before.
absl::StatusOr<std::string> ReadPageToken(const std::string& token) {
  if (token.empty()) return std::string();
  const absl::StatusOr<DeviceName> name = DeviceName::Parse(token);
  if (!name.ok()) return InvalidArgument("the page token is not one that a list has given: begin again without it");
  return name->text();
}

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceService>> DeviceService::Create(Authorizer& authorizer, Pool& pool,
                                                                     AuditQueue& audit) {
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
      new DeviceService(authorizer, pool, audit,
                        Policies{std::move(add), std::move(import), std::move(list), std::move(show), std::move(set),
                                 std::move(replace), std::move(retire), std::move(remove)}));
}

template <typename Request, typename Body>
grpc::Status DeviceService::Serve(const grpc::ServerContext& context, const MethodPolicy& policy,
                                  const Request& request, Body body) {
  const absl::StatusOr<Caller> caller = authorizer_.Authorize(context, policy, request);
  return ToGrpc(caller.ok() ? body(*caller) : caller.status());
}

template <typename Request, typename Body>
grpc::Status DeviceService::Change(const grpc::ServerContext& context, const MethodPolicy& policy,
                                   std::string_view action, std::string_view device, const Request& request,
                                   Body body) {
  return Serve(context, policy, request, [&](const Caller& caller) -> absl::Status {
    absl::Status changed = body(caller);
    if (!changed.ok()) {
      AuditRefusal(audit_, context, caller, action, device.empty() ? caller.cluster : Subject(device), changed);
    }
    return changed;
  });
}

absl::Status DeviceService::AddOne(const Caller& caller, const v1::AddDeviceRequest& request,
                                   v1::AddDeviceResponse& response) {
  ASSIGN_OR_RETURN(const DeviceName name, DeviceName::Parse(request.name()));
  ASSIGN_OR_RETURN(const DeviceRecord device, RunInTransaction(pool_, {}, [&](Connection& connection) {
                     return DeviceRegistry(connection, OnBehalfOf(caller)).Add(name, FromProto(request.data()));
                   }));
  *response.mutable_device() = ToProto(device);
  return absl::OkStatus();
}

absl::Status DeviceService::ImportBatch(const Caller& caller, const v1::ImportDevicesRequest& request,
                                        v1::ImportDevicesResponse& response) {
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

absl::Status DeviceService::ListPage(const Caller& caller, const v1::ListDevicesRequest& request,
                                     v1::ListDevicesResponse& response) {
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

absl::Status DeviceService::ShowOne(const Caller& caller, const v1::ShowDeviceRequest& request,
                                    v1::ShowDeviceResponse& response) {
  ASSIGN_OR_RETURN(const DeviceName name, DeviceName::Parse(request.name()));
  ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
  ASSIGN_OR_RETURN(const DeviceRecord device, DeviceRegistry(*lease, OnBehalfOf(caller)).Find(name));
  *response.mutable_device() = ToProto(device);
  return absl::OkStatus();
}

absl::Status DeviceService::SetOne(const Caller& caller, const v1::SetDeviceRequest& request,
                                   v1::SetDeviceResponse& response) {
  ASSIGN_OR_RETURN(const DeviceName name, DeviceName::Parse(request.name()));
  ASSIGN_OR_RETURN(const DeviceEdit edit, RunInTransaction(pool_, {}, [&](Connection& connection) {
                     return DeviceRegistry(connection, OnBehalfOf(caller)).Set(name, ReadChange(request));
                   }));
  response.set_changed(edit.changed);
  *response.mutable_device() = ToProto(edit.device);
  return absl::OkStatus();
}

absl::Status DeviceService::ReplaceOne(const Caller& caller, const v1::ReplaceDeviceRequest& request,
                                       v1::ReplaceDeviceResponse& response) {
  ASSIGN_OR_RETURN(const DeviceName old_name, DeviceName::Parse(request.old_name()));
  ASSIGN_OR_RETURN(const DeviceName new_name, DeviceName::Parse(request.new_name()));
  ASSIGN_OR_RETURN(const DeviceRemoval replacement, RunInTransaction(pool_, {}, [&](Connection& connection) {
                     return DeviceRegistry(connection, OnBehalfOf(caller)).Replace(old_name, new_name);
                   }));
  *response.mutable_device() = ToProto(replacement.device);
  response.set_revoked(replacement.revoked);
  return absl::OkStatus();
}

absl::Status DeviceService::RetireOne(const Caller& caller, const v1::RetireDeviceRequest& request,
                                      v1::RetireDeviceResponse& response) {
  ASSIGN_OR_RETURN(const DeviceName name, DeviceName::Parse(request.name()));
  ASSIGN_OR_RETURN(const DeviceRemoval retirement, RunInTransaction(pool_, {}, [&](Connection& connection) {
                     return DeviceRegistry(connection, OnBehalfOf(caller)).Retire(name, request.reason());
                   }));
  *response.mutable_device() = ToProto(retirement.device);
  response.set_revoked(retirement.revoked);
  return absl::OkStatus();
}

absl::Status DeviceService::RemoveOne(const Caller& caller, const v1::RemoveDeviceRequest& request) {
  ASSIGN_OR_RETURN(const DeviceName name, DeviceName::Parse(request.name()));
  return RunInTransaction(
      pool_, {}, [&](Connection& connection) { return DeviceRegistry(connection, OnBehalfOf(caller)).Remove(name); });
}

grpc::Status DeviceService::AddDevice(grpc::ServerContext* context, const v1::AddDeviceRequest* request,
                                      v1::AddDeviceResponse* response) {
  return Change(*context, policies_.add, "device.add", request->name(), *request,
                [&](const Caller& caller) { return AddOne(caller, *request, *response); });
}
grpc::Status DeviceService::ImportDevices(grpc::ServerContext* context, const v1::ImportDevicesRequest* request,
                                          v1::ImportDevicesResponse* response) {
  return Change(*context, policies_.import, "device.import", "", *request,
                [&](const Caller& caller) { return ImportBatch(caller, *request, *response); });
}
grpc::Status DeviceService::ListDevices(grpc::ServerContext* context, const v1::ListDevicesRequest* request,
                                        v1::ListDevicesResponse* response) {
  return Serve(*context, policies_.list, *request,
               [&](const Caller& caller) { return ListPage(caller, *request, *response); });
}
grpc::Status DeviceService::ShowDevice(grpc::ServerContext* context, const v1::ShowDeviceRequest* request,
                                       v1::ShowDeviceResponse* response) {
  return Serve(*context, policies_.show, *request,
               [&](const Caller& caller) { return ShowOne(caller, *request, *response); });
}
grpc::Status DeviceService::SetDevice(grpc::ServerContext* context, const v1::SetDeviceRequest* request,
                                      v1::SetDeviceResponse* response) {
  return Change(*context, policies_.set, "device.set", request->name(), *request,
                [&](const Caller& caller) { return SetOne(caller, *request, *response); });
}
grpc::Status DeviceService::ReplaceDevice(grpc::ServerContext* context, const v1::ReplaceDeviceRequest* request,
                                          v1::ReplaceDeviceResponse* response) {
  return Change(*context, policies_.replace, "device.replace", request->old_name(), *request,
                [&](const Caller& caller) { return ReplaceOne(caller, *request, *response); });
}
grpc::Status DeviceService::RetireDevice(grpc::ServerContext* context, const v1::RetireDeviceRequest* request,
                                         v1::RetireDeviceResponse* response) {
  return Change(*context, policies_.retire, "device.retire", request->name(), *request,
                [&](const Caller& caller) { return RetireOne(caller, *request, *response); });
}
grpc::Status DeviceService::RemoveDevice(grpc::ServerContext* context, const v1::RemoveDeviceRequest* request,
                                         v1::RemoveDeviceResponse*) {
  return Change(*context, policies_.remove, "device.remove", request->name(), *request,
                [&](const Caller& caller) { return RemoveOne(caller, *request); });
}

}  // namespace trustline
