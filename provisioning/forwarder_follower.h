// Keeps the forwarders of the listeners' clusters as the administrators have them.
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "common/postgres/connection.h"
#include "common/postgres/interrupt.h"
#include "common/service/log.h"
#include "provisioning/forwarders.h"

namespace trustline {

struct ForwarderFollowerOptions {
  std::string connection;  // libpq's connection string of a role that may read forwarder and phone_trust_policy
  std::string application_name;
  std::vector<std::string> clusters;  // at least one, each once
  std::chrono::milliseconds poll_interval{1'000};
};

// A thread with a connection of its own reads everything at each notification forwarder_change and at each poll
// interval. While the database is away, what was read last stays in force. Log events: SIP_DATABASE_AWAY,
// SIP_DATABASE_BACK, SIP_CLUSTER_MISSING.
class ForwarderFollower {
 public:
  // The log must outlive it.
  ForwarderFollower(ForwarderFollowerOptions options, Log& log);
  ~ForwarderFollower();

  void Start();
  void Stop();

  // Those of a cluster of the options; as long as the follower. Current() is null until the cluster was read.
  const ForwarderSource& Of(std::string_view cluster) const;

  // OK when the last reading brought every cluster's; else what keeps it.
  absl::Status LastStatus() const;

 private:
  class Source;

  void Run();
  // Reads once, then waits for the next reason to read.
  absl::Status Follow(std::optional<Connection>& connection);
  absl::Status Read(Connection& connection);
  void SetStatus(const absl::Status& status);

  const ForwarderFollowerOptions options_;
  Log& log_;
  std::map<std::string, std::unique_ptr<Source>, std::less<>> sources_;
  Interrupt interrupt_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  absl::Status last_status_;
  std::thread thread_;
};

}  // namespace trustline
