#include "common/rpc/access_grants.h"

#include <condition_variable>
#include <limits>
#include <mutex>
#include <thread>

#include "common/postgres/interrupt.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr Statement kReadGrants = {"read_access_grants",
                                   "SELECT cluster_id, name, coalesce(person, ''), coalesce(role, '') "
                                   "FROM cluster LEFT JOIN access_grant USING (cluster_id)"};
constexpr Statement kReadRemovedNodes = {"read_removed_nodes",
                                         "SELECT identity FROM node WHERE removed_at IS NOT NULL"};

constexpr int64_t kNever = std::numeric_limits<int64_t>::min();

}  // namespace

absl::StatusOr<AccessGrants> AccessGrants::Read(Connection& connection) {
  AccessGrants grants;
  RETURN_IF_ERROR(connection.ForEachRow(kReadGrants, {}, [&grants](const Row& row) -> absl::Status {
    int32_t cluster_id = 0;
    std::string name, person, role_text;
    RETURN_IF_ERROR(row.Scan(cluster_id, name, person, role_text));
    grants.clusters_.emplace(std::move(name), cluster_id);
    if (person.empty()) return absl::OkStatus();
    ASSIGN_OR_RETURN(const v1::AccessRole role, ParseAccessRole(role_text));
    grants.people_[std::move(person)][cluster_id].Add(role);
    return absl::OkStatus();
  }));
  RETURN_IF_ERROR(connection.ForEachRow(kReadRemovedNodes, {}, [&grants](const Row& row) -> absl::Status {
    std::string identity;
    RETURN_IF_ERROR(row.Scan(identity));
    grants.removed_.insert(std::move(identity));
    return absl::OkStatus();
  }));
  return grants;
}

std::optional<int32_t> AccessGrants::ClusterId(std::string_view name) const {
  const auto cluster = clusters_.find(name);
  if (cluster == clusters_.end()) return std::nullopt;
  return cluster->second;
}

RoleSet AccessGrants::RolesOf(std::string_view person, int32_t cluster_id) const {
  const auto grants = people_.find(person);
  if (grants == people_.end()) return {};
  const auto roles = grants->second.find(cluster_id);
  return roles == grants->second.end() ? RoleSet() : roles->second;
}

RoleSet AccessGrants::RolesAnywhere(std::string_view person) const {
  RoleSet all;
  const auto grants = people_.find(person);
  if (grants == people_.end()) return all;
  for (const auto& [cluster_id, roles] : grants->second) all.Merge(roles);
  return all;
}

bool AccessGrants::WasRemoved(const Identity& identity) const {
  return !removed_.empty() && removed_.contains(identity.ToUri());
}

class AccessGrantsReader::Impl {
 public:
  Impl(AccessGrantsReaderOptions options, const Clock& clock, Log& log)
      : options_(std::move(options)), clock_(clock), log_(log) {}
  ~Impl() { Stop(); }

  void Start() {
    if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
  }

  void Stop() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
      changed_.notify_all();
    }
    interrupt_.Raise();
    if (thread_.joinable()) thread_.join();
  }

  std::shared_ptr<const AccessGrants> Current() const {
    // One entry a thread: a process has one reader, and several (in tests) only cost the lock.
    struct Seen {
      uint64_t version = 0;
      std::shared_ptr<const AccessGrants> grants;
    };
    thread_local Seen seen;
    if (seen.version != version_.load(std::memory_order_acquire)) {
      std::lock_guard lock(mutex_);
      seen = {version_.load(std::memory_order_relaxed), current_};
    }
    return seen.grants;
  }

  absl::Time confirmed_at() const {
    const int64_t nanoseconds = confirmed_.load(std::memory_order_acquire);
    return nanoseconds == kNever ? absl::InfinitePast() : absl::FromUnixNanos(nanoseconds);
  }

  absl::Status WaitForRefresh(absl::Duration timeout) {
    std::unique_lock lock(mutex_);
    // The reading that runs now may have begun before the call; the one after it did not.
    const uint64_t wanted = begun_ + 1;
    if (changed_.wait_for(lock, absl::ToChronoMilliseconds(timeout),
                          [&] { return finished_ >= wanted || stopping_; }) &&
        !stopping_) {
      return absl::OkStatus();
    }
    return DeadlineExceeded("the access grants could not be read again in time: look at the database");
  }

 private:
  void Run() {
    std::optional<Connection> connection;
    while (!Stopping()) {
      const absl::Status status = Refresh(connection);
      if (status.ok()) {
        if (std::exchange(away_, false)) log_.Info("ACCESS_DATABASE_BACK", "the access grants are read again");
        continue;
      }
      connection.reset();
      if (Stopping()) return;
      if (!std::exchange(away_, true)) {
        log_.Warning("ACCESS_DATABASE_AWAY", "the access grants cannot be read: the last known ones stay in force",
                     {{"error", status}});
      }
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, absl::ToChronoMilliseconds(options_.poll_interval), [this] { return stopping_; });
    }
  }

  // Reads once, then waits for the next reason to read.
  absl::Status Refresh(std::optional<Connection>& connection) {
    if (!connection) {
      ASSIGN_OR_RETURN(connection, Connection::Open({.conninfo = options_.connection,
                                                     .application_name = options_.application_name,
                                                     .connect_timeout = absl::Seconds(2),
                                                     .query_timeout = absl::Seconds(5),
                                                     .interrupt = &interrupt_}));
      // A replica has no LISTEN: then polling alone decides.
      if (absl::Status status = connection->Listen("access_change"); !status.ok() && !connection->ok()) return status;
    }
    uint64_t reading = 0;
    {
      std::lock_guard lock(mutex_);
      reading = ++begun_;
    }
    const absl::Time asked_at = clock_.Now();
    absl::StatusOr<AccessGrants> grants = AccessGrants::Read(*connection);
    RETURN_IF_ERROR(grants.status());
    Publish(*std::move(grants), asked_at, reading);
    absl::Duration wait = options_.poll_interval;
    while (true) {
      absl::StatusOr<std::optional<Notification>> notification = connection->WaitForNotification(wait);
      RETURN_IF_ERROR(notification.status());
      if (!notification->has_value()) return absl::OkStatus();
      wait = absl::ZeroDuration();  // all that have come need one reading
    }
  }

  void Publish(AccessGrants grants, absl::Time asked_at, uint64_t reading) {
    std::lock_guard lock(mutex_);
    if (current_ == nullptr || *current_ != grants) {
      current_ = std::make_shared<const AccessGrants>(std::move(grants));
      version_.store(NextVersion(), std::memory_order_release);
    }
    confirmed_.store(absl::ToUnixNanos(asked_at), std::memory_order_release);
    finished_ = reading;
    changed_.notify_all();
  }

  bool Stopping() const {
    std::lock_guard lock(mutex_);
    return stopping_;
  }

  // Unique in the process, so that what a thread has seen of one reader is never taken for another's.
  static uint64_t NextVersion() {
    static std::atomic<uint64_t> last{0};
    return last.fetch_add(1, std::memory_order_relaxed) + 1;
  }

  const AccessGrantsReaderOptions options_;
  const Clock& clock_;
  Log& log_;
  Interrupt interrupt_;
  std::atomic<uint64_t> version_{NextVersion()};
  std::atomic<int64_t> confirmed_{kNever};
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::shared_ptr<const AccessGrants> current_;
  uint64_t begun_ = 0;
  uint64_t finished_ = 0;
  bool stopping_ = false;
  bool away_ = false;
  std::thread thread_;
};

AccessGrantsReader::AccessGrantsReader(AccessGrantsReaderOptions options, const Clock& clock, Log& log)
    : impl_(std::make_unique<Impl>(std::move(options), clock, log)) {}
AccessGrantsReader::~AccessGrantsReader() = default;
void AccessGrantsReader::Start() { impl_->Start(); }
void AccessGrantsReader::Stop() { impl_->Stop(); }
std::shared_ptr<const AccessGrants> AccessGrantsReader::Current() const { return impl_->Current(); }
absl::Time AccessGrantsReader::confirmed_at() const { return impl_->confirmed_at(); }
absl::Status AccessGrantsReader::WaitForRefresh(absl::Duration timeout) { return impl_->WaitForRefresh(timeout); }

}  // namespace trustline
