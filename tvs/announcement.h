// Tells itld where this node answers gRPC.
#pragma once

#include <grpcpp/client_context.h>

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/service/identity_files.h"
#include "common/service/log.h"

namespace trustline {

struct AnnouncementOptions {
  std::string itld;  // "HOST:PORT"
  IdentityFiles identity;
  std::string host;  // empty: the address from which itld sees this node call
  uint16_t port = 0;
  absl::Duration retry = absl::Seconds(5);      // until itld has taken it
  absl::Duration interval = absl::Minutes(10);  // then again, for an itld that lost it and an address that changed
};

// The host to announce: `advertise` when it is set, else the address that gRPC listens on, or nothing when others do
// not reach the node by that one (a wildcard; loopback, which itld sees for itself when it is on this machine).
std::string HostToAnnounce(std::string_view advertise, std::string_view listen_address);

// A thread of its own, which keeps nothing else from working: phones are answered whether itld is there or not. A
// failure is one line of the log for each reason, however often it is tried.
class Announcement {
 public:
  // The log must outlive it.
  Announcement(AnnouncementOptions options, Log& log) : options_(std::move(options)), log_(log) {}
  ~Announcement() { Stop(); }

  void Start();
  // Ends a call that is under way. Idempotent.
  void Stop();

 private:
  void Run();
  // What itld keeps: "HOST:PORT".
  absl::StatusOr<std::string> Announce();
  void Report(const absl::StatusOr<std::string>& announced);

  const AnnouncementOptions options_;
  Log& log_;
  std::string failure_;    // of the thread: that was logged last, since then without a success
  std::string announced_;  // of the thread

  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  grpc::ClientContext* call_ = nullptr;  // under way
  std::thread thread_;
};

}  // namespace trustline
