#include "common/rpc/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server_builder.h>
#include <sys/socket.h>

#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>

#include "common/net/ip_address.h"
#include "common/posix/address_info.h"
#include "common/posix/unique_fd.h"
#include "common/rpc/channel.h"
#include "common/rpc/grpc_messages.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr std::chrono::seconds kHealthInterval(1);

// Of all calls together, on the way in and out: what peers send does not decide how much memory the daemon takes.
constexpr size_t kMemoryQuota = 256u * 1024 * 1024;
// Calls at a time; more on the same connection wait at the client.
constexpr int kStreamsPerConnection = 100;

// gRPC says of a failed bind only that it failed, in its own log; this says why.
absl::Status CheckCanBind(const std::string& address, uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICHOST;
  addrinfo* found = nullptr;
  if (getaddrinfo(address.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) {
    return InvalidArgument("'{}' is not an IP address to listen on", address);
  }
  const AddressInfoPtr list(found);
  const UniqueFd fd(socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  if (fd.valid()) setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  const bool can_bind = fd.valid() && bind(fd.get(), list->ai_addr, list->ai_addrlen) == 0 && listen(fd.get(), 1) == 0;
  const int error = can_bind ? 0 : errno;
  if (error == 0) return absl::OkStatus();
  return FailedPrecondition("cannot listen on {} port {} for gRPC: {}{}", address, port, std::strerror(error),
                            error == EADDRINUSE ? fmt::format("; 'ss -ltnp sport = :{}' shows who has it", port) : "");
}

}  // namespace

class RpcServer::Impl {
 public:
  explicit Impl(Health& health) : health_(health) {}
  ~Impl() {
    Shutdown(absl::ZeroDuration());
    if (owns_messages_) SendGrpcMessagesTo(nullptr);
  }

  absl::Status Start(const RpcServerOptions& options, const std::vector<grpc::Service*>& services) {
    absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> credentials =
        MakeServerCredentials(options.identity, options.client_certificate);
    RETURN_IF_ERROR(credentials.status());
    if (options.client_certificate == ClientCertificate::kOptional) {
      (*credentials)->SetAuthMetadataProcessor(std::make_shared<IdentityGate>(options.on_no_identity));
    }
    RETURN_IF_ERROR(CheckCanBind(options.address, options.port));
    SendGrpcMessagesTo(options.log);
    owns_messages_ = options.log != nullptr;

    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::ServerBuilder builder;
    builder.AddListeningPort(EndpointText(options.address, options.port), *credentials, &port_);
    for (grpc::Service* service : services) builder.RegisterService(service);
    builder.SetMaxReceiveMessageSize(kMaxMessageSize);
    builder.SetMaxSendMessageSize(kMaxMessageSize);
    grpc::ResourceQuota quota("server");
    quota.SetMaxThreads(options.max_threads);
    quota.Resize(kMemoryQuota);
    builder.SetResourceQuota(quota);
    // Two processes on one port would each get some of the calls.
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 10'000);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsPerConnection);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || port_ == 0) {
      return FailedPrecondition("cannot listen on {} port {} for gRPC", options.address, options.port);
    }
    health_thread_ = std::thread([this] { ReportHealth(); });
    return absl::OkStatus();
  }

  uint16_t port() const { return static_cast<uint16_t>(port_); }

  void Shutdown(absl::Duration patience) {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
      changed_.notify_all();
    }
    if (health_thread_.joinable()) health_thread_.join();
    if (server_ == nullptr) return;
    server_->Shutdown(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(patience));
    server_->Wait();
    server_.reset();
  }

 private:
  // The standard health service is told; readiness is a question, so it is asked here again and again.
  void ReportHealth() {
    grpc::HealthCheckServiceInterface* const service = server_->GetHealthCheckService();
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      lock.unlock();
      const bool ready = health_.Ready().ok();
      service->SetServingStatus(ready);
      lock.lock();
      changed_.wait_for(lock, kHealthInterval, [this] { return stopping_; });
    }
    service->SetServingStatus(false);
  }

  Health& health_;
  int port_ = 0;
  bool owns_messages_ = false;
  std::unique_ptr<grpc::Server> server_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread health_thread_;
};

RpcServer::RpcServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RpcServer::~RpcServer() = default;

absl::StatusOr<std::unique_ptr<RpcServer>> RpcServer::Start(const RpcServerOptions& options,
                                                            const std::vector<grpc::Service*>& services,
                                                            Health& health) {
  auto impl = std::make_unique<Impl>(health);
  RETURN_IF_ERROR(impl->Start(options, services));
  return std::unique_ptr<RpcServer>(new RpcServer(std::move(impl)));
}

uint16_t RpcServer::port() const { return impl_->port(); }
void RpcServer::Shutdown(absl::Duration patience) { impl_->Shutdown(patience); }

}  // namespace trustline
