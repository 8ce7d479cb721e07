#include "tvs/announcement.h"

#include <chrono>
#include <memory>

#include "absl/cleanup/cleanup.h"
#include "common/net/ip_address.h"
#include "common/rpc/channel.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "proto/node.grpc.pb.h"

namespace trustline {
namespace {

constexpr auto kCallDeadline = std::chrono::seconds(20);

}  // namespace

std::string HostToAnnounce(std::string_view advertise, std::string_view listen_address) {
  if (!advertise.empty()) return std::string(advertise);
  static const IpNetwork* const v4_loopback = new IpNetwork(*IpNetwork::Parse("127.0.0.0/8"));
  static const IpNetwork* const v6_loopback = new IpNetwork(*IpNetwork::Parse("::1"));
  static const IpNetwork* const v4_any = new IpNetwork(*IpNetwork::Parse("0.0.0.0"));
  static const IpNetwork* const v6_any = new IpNetwork(*IpNetwork::Parse("::"));
  const absl::StatusOr<IpAddress> address = IpAddress::Parse(listen_address);
  if (!address.ok()) return "";
  for (const IpNetwork* unreachable : {v4_loopback, v6_loopback, v4_any, v6_any}) {
    if (unreachable->Contains(*address)) return "";
  }
  return std::string(listen_address);
}

void Announcement::Start() {
  if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
}

void Announcement::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    if (call_ != nullptr) call_->TryCancel();
    wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void Announcement::Run() {
  while (true) {
    const absl::StatusOr<std::string> announced = Announce();
    std::unique_lock lock(mutex_);
    if (stopping_) return;
    lock.unlock();
    Report(announced);
    lock.lock();
    const absl::Duration wait = announced.ok() ? options_.interval : options_.retry;
    if (wake_.wait_for(lock, absl::ToChronoMilliseconds(wait), [this] { return stopping_; })) return;
  }
}

absl::StatusOr<std::string> Announcement::Announce() {
  ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel, OpenChannel(options_.itld, options_.identity, "itld"));
  const std::unique_ptr<v1::Node::Stub> stub = v1::Node::NewStub(channel);
  v1::AnnounceRequest request;
  request.set_grpc_port(options_.port);
  request.set_grpc_address(options_.host);
  v1::AnnounceResponse response;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kCallDeadline);
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return absl::CancelledError("stopping");
    call_ = &context;
  }
  const absl::Cleanup forget = [this] {
    const std::lock_guard lock(mutex_);
    call_ = nullptr;
  };
  RETURN_IF_ERROR(ToAbsl(stub->Announce(&context, request, &response), "itld", options_.itld));
  return response.grpc_address();
}

void Announcement::Report(const absl::StatusOr<std::string>& announced) {
  if (announced.ok()) {
    if (*announced != announced_ || !failure_.empty()) {
      log_.Info("GRPC_ANNOUNCED", "itld knows where this node answers gRPC", {{"address", *announced}});
    }
    announced_ = *announced;
    failure_.clear();
    return;
  }
  const std::string reason(StatusMessage(announced.status()));
  if (reason == failure_) return;
  failure_ = reason;
  log_.Warning("GRPC_NOT_ANNOUNCED",
               "itld was not told where this node answers gRPC: it is tried again, and phones are answered without",
               {{"error", announced.status()}, {"retry_in", DurationText(options_.retry)}});
}

}  // namespace trustline
