#include "capf/cad_watch.h"

#include <chrono>

#include "common/rpc/channel.h"
#include "common/status/status.h"

namespace trustline {
namespace {

// How long Stop may take.
constexpr std::chrono::milliseconds kLook{200};

}  // namespace

absl::StatusOr<std::unique_ptr<CadWatch>> CadWatch::Create(const std::string& address, const IdentityFiles& identity,
                                                           Log& log, Metrics& metrics) {
  ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel, OpenChannel(address, identity, "cad"));
  return std::unique_ptr<CadWatch>(new CadWatch(address, std::move(channel), log, metrics));
}

CadWatch::CadWatch(std::string address, std::shared_ptr<grpc::Channel> channel, Log& log, Metrics& metrics)
    : address_(std::move(address)),
      channel_(std::move(channel)),
      log_(log),
      connected_(metrics.GetGauge("trustline_capf_cad_connected", "1 while cad, which issues and revokes, is there.")) {
}

void CadWatch::Start() {
  thread_ = std::thread([this] { Run(); });
}

void CadWatch::Stop() {
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
}

void CadWatch::Run() {
  while (!stopping_) {
    const grpc_connectivity_state state = channel_->GetState(true);
    Judge(state);
    channel_->WaitForStateChange(state, std::chrono::system_clock::now() + kLook);
  }
}

void CadWatch::Judge(grpc_connectivity_state state) {
  if (state == GRPC_CHANNEL_READY) {
    connected_.Set(1);
    if (is_away_) log_.Info("CAPF_CAD_BACK", "cad is there again", {{"address", address_}});
    is_away_ = false;
  } else if (state == GRPC_CHANNEL_TRANSIENT_FAILURE) {
    connected_.Set(0);
    if (!is_away_) {
      log_.Warning("CAPF_CAD_AWAY", "no phone gets a certificate until cad is there: look at its log",
                   {{"address", address_}});
    }
    is_away_ = true;
  }
  // In any other state it is not known yet.
}

}  // namespace trustline
