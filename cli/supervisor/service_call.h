// Calls of the supervisor to the services that it has started.
#pragma once

#include <grpcpp/client_context.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/rpc/channel.h"
#include "common/service/identity_files.h"
#include "common/status/status.h"

namespace trustline {

// A service at an address, called as the party that `files` names.
template <typename Service>
class ServiceClient {
 public:
  // `kind` is "itld" or "cad". Errors are those of the files.
  static absl::StatusOr<ServiceClient> Open(std::string_view kind, const std::string& address,
                                            const IdentityFiles& files) {
    ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel, OpenChannel(address, files, kind));
    return ServiceClient(std::string(kind), address, Service::NewStub(channel));
  }

  typename Service::Stub& stub() const { return *stub_; }

  static void SetDeadline(grpc::ClientContext& context) {
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  }

  // A call's end; errors name the service.
  absl::Status End(const grpc::Status& status) const { return ToAbsl(status, kind_, address_); }

  // One unary call with a deadline: Call(&v1::Node::Stub::Join, request).
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                const Request& request) const {
    grpc::ClientContext context;
    SetDeadline(context);
    Response response;
    RETURN_IF_ERROR(End((stub_.get()->*method)(&context, request, &response)));
    return response;
  }

 private:
  ServiceClient(std::string kind, std::string address, std::unique_ptr<typename Service::Stub> stub)
      : kind_(std::move(kind)), address_(std::move(address)), stub_(std::move(stub)) {}

  std::string kind_;
  std::string address_;
  std::unique_ptr<typename Service::Stub> stub_;
};

}  // namespace trustline
