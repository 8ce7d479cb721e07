// Whether cad is there. capfd serves phones without it as far as it can, so that somebody has to say it.
#pragma once

#include <grpcpp/channel.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "common/service/identity_files.h"
#include "common/service/log.h"
#include "common/service/metrics.h"

namespace trustline {

// A thread that keeps a connection of its own to cad. Metric: trustline_capf_cad_connected. Log events: CAPF_CAD_AWAY,
// CAPF_CAD_BACK. The references must outlive it.
class CadWatch {
 public:
  // `address` is cad's, "host:port". Connects once started.
  static absl::StatusOr<std::unique_ptr<CadWatch>> Create(const std::string& address, const IdentityFiles& identity,
                                                          Log& log, Metrics& metrics);
  ~CadWatch() { Stop(); }

  void Start();
  void Stop();

 private:
  CadWatch(std::string address, std::shared_ptr<grpc::Channel> channel, Log& log, Metrics& metrics);
  void Run();
  void Judge(grpc_connectivity_state state);

  const std::string address_;
  const std::shared_ptr<grpc::Channel> channel_;
  Log& log_;
  Gauge& connected_;
  bool is_away_ = false;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

}  // namespace trustline
