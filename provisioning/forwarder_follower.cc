#include "provisioning/forwarder_follower.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "common/status/status.h"

namespace trustline {
namespace {

// One query, so that all of it is of one moment.
constexpr Statement kReadForwarders = {
    "read_forwarders",
    "SELECT c.name, coalesce(p.accept_claims, true), coalesce(f.name, ''), coalesce(f.is_network, false),"
    " coalesce('REFER' = ANY (f.requests), false), coalesce('REGISTER' = ANY (f.requests), false),"
    " coalesce('OPTIONS' = ANY (f.requests), false), coalesce(f.udp, false)"
    " FROM cluster c LEFT JOIN phone_trust_policy p USING (cluster_id) LEFT JOIN forwarder f USING (cluster_id)"
    " WHERE c.name = ANY ($1)"};

}  // namespace

class ForwarderFollower::Source final : public ForwarderSource {
 public:
  std::shared_ptr<const Forwarders> Current() const override {
    const std::lock_guard lock(mutex_);
    return current_;
  }
  void Set(std::shared_ptr<const Forwarders> forwarders) {
    const std::lock_guard lock(mutex_);
    current_.swap(forwarders);
  }

 private:
  mutable std::mutex mutex_;  // held for moments
  std::shared_ptr<const Forwarders> current_;
};

ForwarderFollower::ForwarderFollower(ForwarderFollowerOptions options, Log& log)
    : options_(std::move(options)), log_(log), last_status_(Unavailable("the forwarders are being read")) {
  for (const std::string& cluster : options_.clusters) sources_[cluster] = std::make_unique<Source>();
}

ForwarderFollower::~ForwarderFollower() { Stop(); }

void ForwarderFollower::Start() {
  if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
}

void ForwarderFollower::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  interrupt_.Raise();
  if (thread_.joinable()) thread_.join();
}

const ForwarderSource& ForwarderFollower::Of(std::string_view cluster) const { return *sources_.find(cluster)->second; }

absl::Status ForwarderFollower::LastStatus() const {
  const std::lock_guard lock(mutex_);
  return last_status_;
}

void ForwarderFollower::Run() {
  std::optional<Connection> connection;
  bool is_away = false;
  while (!interrupt_.raised()) {
    const absl::Status status = Follow(connection);
    if (interrupt_.raised()) return;
    SetStatus(status);
    if (status.ok()) {
      if (std::exchange(is_away, false)) log_.Info("SIP_DATABASE_BACK", "the forwarders are read again");
      continue;
    }
    if (!std::exchange(is_away, true)) {
      if (absl::IsNotFound(status)) {
        log_.Warning("SIP_CLUSTER_MISSING", "a listener's cluster does not exist", {{"error", status}});
      } else {
        log_.Warning("SIP_DATABASE_AWAY", "the forwarders cannot be read: the last known ones stay in force",
                     {{"error", status}});
      }
    }
    connection.reset();
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, options_.poll_interval, [this] { return stopping_; });
  }
}

absl::Status ForwarderFollower::Follow(std::optional<Connection>& connection) {
  if (!connection) {
    ASSIGN_OR_RETURN(connection, Connection::Open({.conninfo = options_.connection,
                                                   .application_name = options_.application_name,
                                                   .connect_timeout = absl::Seconds(2),
                                                   .query_timeout = absl::Seconds(5),
                                                   .interrupt = &interrupt_}));
    // A replica has no LISTEN: then polling alone decides.
    if (absl::Status status = connection->Listen("forwarder_change"); !status.ok() && !connection->ok()) return status;
  }
  RETURN_IF_ERROR(Read(*connection));
  SetStatus(absl::OkStatus());
  absl::Duration wait = absl::FromChrono(options_.poll_interval);
  while (true) {
    ASSIGN_OR_RETURN(const std::optional<Notification> notification, connection->WaitForNotification(wait));
    if (!notification) return absl::OkStatus();
    wait = absl::ZeroDuration();  // all that have come need one reading
  }
}

absl::Status ForwarderFollower::Read(Connection& connection) {
  struct Cluster {
    bool accept_claims = true;
    std::vector<Forwarder> forwarders;
  };
  std::map<std::string, Cluster, std::less<>> clusters;
  RETURN_IF_ERROR(connection.ForEachRow(
      kReadForwarders, Parameters().TextArray(options_.clusters), [&clusters](const Row& row) -> absl::Status {
        std::string name;
        bool accept_claims = true;
        Forwarder forwarder;
        RETURN_IF_ERROR(row.Scan(name, accept_claims, forwarder.name, forwarder.is_network, forwarder.may_refer,
                                 forwarder.may_register, forwarder.may_options, forwarder.udp));
        Cluster& cluster = clusters[std::move(name)];
        cluster.accept_claims = accept_claims;
        if (!forwarder.name.empty()) cluster.forwarders.push_back(std::move(forwarder));
        return absl::OkStatus();
      }));
  absl::Status status;
  for (const auto& [name, source] : sources_) {
    const auto cluster = clusters.find(name);
    if (cluster == clusters.end()) {
      status.Update(NotFound(
          "cluster '{0}' does not exist; make it with 'trustctl cluster add {0}', or remove its listener from the "
          "configuration",
          name));
      continue;
    }
    source->Set(
        std::make_shared<const Forwarders>(std::move(cluster->second.forwarders), cluster->second.accept_claims));
  }
  return status;
}

void ForwarderFollower::SetStatus(const absl::Status& status) {
  const std::lock_guard lock(mutex_);
  last_status_ = status;
}

}  // namespace trustline
