#include "common/rpc/channel.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/support/channel_arguments.h>

#include "common/rpc/credentials.h"
#include "common/status/status.h"

namespace trustline {

absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(const std::string& address, const IdentityFiles& files,
                                                           std::string_view service_kind) {
  absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> credentials = MakeChannelCredentials(files, service_kind);
  RETURN_IF_ERROR(credentials.status());
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageSize);
  arguments.SetMaxSendMessageSize(kMaxMessageSize);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  // In spite of its name this is how long one attempt to connect may take, handshake included.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 10'000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2'000);
  // The system's own services are not behind the proxy that the environment may name.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // Connections are not shared with channels of other credentials.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(address, *credentials, arguments);
}

absl::Status ToAbsl(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  const int code = status.error_code();
  const bool known = code > 0 && code <= static_cast<int>(absl::StatusCode::kUnauthenticated);
  return absl::Status(known ? static_cast<absl::StatusCode>(code) : absl::StatusCode::kUnknown,
                      absl::string_view(status.error_message().data(), status.error_message().size()));
}

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(StatusMessage(status)));
}

absl::Status ToAbsl(const grpc::Status& status, std::string_view service_kind, std::string_view address) {
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
    const std::string& words = status.error_message();
    if (words.find("handshake") != std::string::npos || words.find("Handshake") != std::string::npos ||
        words.find("verification") != std::string::npos) {
      return Unavailable(
          "{0} at {1} did not agree to a connection: is it a {0}, are both identities valid and from the same "
          "authority, and are the clocks right? ({2})",
          service_kind, address, words);
    }
    // Of TLS 1.3 too, where a server refuses a client only after the client's side is done.
    if (words.find("Socket closed") != std::string::npos || words.find("Connection reset") != std::string::npos) {
      return Unavailable(
          "{0} at {1} ended the connection before it answered: it was stopped, or does not accept this identity "
          "(valid, "
          "from the same authority, clocks right?). A change may have been made all the same: look before you repeat "
          "it "
          "({2})",
          service_kind, address, words);
    }
    // gRPC's own words; the service's may speak of a connection to its database.
    if (words.find("failed to connect to all addresses") != std::string::npos ||
        words.find("DNS resolution failed") != std::string::npos) {
      return Unavailable("{} at {} does not answer: is it running, and is the address right? ({})", service_kind,
                         address, words);
    }
  }
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) {
    return DeadlineExceeded("{} at {} did not answer in time ({})", service_kind, address, status.error_message());
  }
  // gRPC says nothing more of a method that the server lacks.
  if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED && status.error_message().empty()) {
    return FailedPrecondition("{} at {} does not know this call: are all programs of the same version?", service_kind,
                              address);
  }
  return ToAbsl(status);
}

}  // namespace trustline
