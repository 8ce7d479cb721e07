#include "common/rpc/rpc_testing.h"

#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>

#include "common/rpc/authorization.h"

namespace trustline {

grpc::Status EchoService::GetNodeStatus(grpc::ServerContext* context, const v1::GetNodeStatusRequest* /*request*/,
                                        v1::GetNodeStatusResponse* response) {
  const absl::StatusOr<Identity> caller = PeerIdentity(*context);
  response->set_node(caller.ok() ? caller->ToUri() : "anonymous");
  return grpc::Status::OK;
}

absl::StatusOr<std::string> CallEcho(const std::shared_ptr<grpc::Channel>& channel) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  v1::GetNodeStatusResponse response;
  const grpc::Status status = v1::Verification::NewStub(channel)->GetNodeStatus(&context, {}, &response);
  if (!status.ok()) return ToAbsl(status);
  return response.node();
}

absl::StatusOr<std::string> CallEcho(uint16_t port, const IdentityFiles& files, std::string_view kind) {
  const std::string address = fmt::format("127.0.0.1:{}", port);
  absl::StatusOr<std::shared_ptr<grpc::Channel>> channel = OpenChannel(address, files, kind);
  RETURN_IF_ERROR(channel.status());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  v1::GetNodeStatusResponse response;
  const grpc::Status status = v1::Verification::NewStub(*channel)->GetNodeStatus(&context, {}, &response);
  if (!status.ok()) return ToAbsl(status, kind, address);
  return response.node();
}

}  // namespace trustline
