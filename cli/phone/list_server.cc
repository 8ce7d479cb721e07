#include "cli/phone/list_server.h"

#include <grpcpp/client_context.h>

#include <utility>

#include "absl/time/clock.h"
#include "common/rpc/channel.h"
#include "common/status/status.h"

namespace trustline {

ItldListServer::ItldListServer(const std::shared_ptr<grpc::Channel>& channel, ItldListServerOptions options)
    : lists_(v1::TrustLists::NewStub(channel)), options_(std::move(options)) {}

absl::StatusOr<std::optional<ServedList>> ItldListServer::Fetch(PhoneListKind kind, const DeviceName& device) {
  // A CTL is the cluster's.
  if (kind == PhoneListKind::kItl) {
    ASSIGN_OR_RETURN(std::optional<ServedList> own, FetchOf(kind, device.text()));
    if (own) return own;
  }
  return FetchOf(kind, "");
}

absl::StatusOr<std::optional<ServedList>> ItldListServer::FetchOf(PhoneListKind kind, const std::string& device) {
  v1::FetchGenerationRequest request;
  request.set_cluster(options_.cluster);
  request.set_device(device);
  if (kind == PhoneListKind::kCtl) {
    request.set_kind(v1::TRUST_LIST_KIND_CTL);
  } else {
    request.set_kind(v1::TRUST_LIST_KIND_ITL);
    request.set_tftp_server(options_.tftp_server);
  }
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + options_.timeout));
  v1::FetchGenerationResponse response;
  const grpc::Status status = lists_->FetchGeneration(&context, request, &response);
  if (status.error_code() == grpc::StatusCode::NOT_FOUND) return std::nullopt;
  RETURN_IF_ERROR(ToAbsl(status, "itld", options_.address));
  return ServedList{.file = std::move(*response.mutable_file()), .server = response.generation().tftp_server()};
}

}  // namespace trustline
